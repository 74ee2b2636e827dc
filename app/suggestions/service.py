"""From candidates to those worth measuring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.core.errors import InvalidRequest, ModelNotCalibrated, XtalforgeError
from app.core.settings import LimitSettings
from app.learning.acquisition.pool import Pool
from app.learning.acquisition.ranking import suggest
from app.learning.acquisition.target import Target
from app.learning.trust.assessment import Assessment
from app.predictions.answers import Outcomes, Wishes, answer_of, nothing_usable
from app.predictions.engine import ModelItem
from app.predictions.inputs import RawInput, refuse_duplicate_ids
from app.predictions.schemas import PredictionAnswer
from app.predictions.selection import Models, SelectedModel, item_for, no_model_fits
from app.predictions.service import Asked, PredictionService
from app.properties.catalogue import Transform
from app.registry.manifest import Manifest
from app.structures.crystal import Crystal
from app.structures.formula import Composition
from app.suggestions.reasons import Teller
from app.suggestions.schemas import (
    SetAside,
    SetAsideReason,
    Suggestion,
    SuggestionAnswer,
    SuggestionWish,
    TargetRequest,
)

_CHUNK = 200


class SuggestionService:
    """Blocking; meant for a worker thread."""

    def __init__(self, directory: Models, predictions: PredictionService, limits: LimitSettings) -> None:
        self._directory = directory
        self._predictions = predictions
        self._limits = limits

    def suggest(self, candidates: Sequence[RawInput], wish: SuggestionWish) -> SuggestionAnswer:
        """The candidates most worth a measurement.

        Raises InvalidRequest for ids that repeat and a target that the property cannot have, ModelNotCalibrated, the
        errors of `ModelDirectory.select`, and, when no candidate has a value, the error that every one had or
        NoUsableInput.
        """
        refuse_duplicate_ids(candidate.id for candidate in candidates)
        (model,) = self._directory.select([wish.model], None)
        if model.manifest.trust is None:
            raise ModelNotCalibrated(
                f"{model.label} carries no intervals and no training rows to compare with, so nothing tells which "
                "candidate would teach it most. Models trained with this version of Xtalforge do."
            )
        target = _target(wish.target, model.manifest)
        models, outcomes = self._outcomes(candidates, model)
        answer = answer_of(outcomes, models, Wishes(wish.interval_level))
        if not answer.predictions:
            raise nothing_usable([cause for outcome in outcomes for cause in outcome.causes()], answer.errors)
        compared = [each for each in map(_compared, outcomes) if each is not None]
        if not compared:
            raise ModelNotCalibrated(f"{model.label} gives values, but none that can be compared with training rows.")
        return _ranked(compared, model, answer, wish, target)

    def _outcomes(
        self, candidates: Sequence[RawInput], model: SelectedModel
    ) -> tuple[list[SelectedModel], list[Outcomes]]:
        """In parts, so that the graphs of one part at a time are in memory."""
        size = min(_CHUNK, self._limits.max_inputs_per_request)
        models: list[SelectedModel] = [model]
        found: list[Outcomes] = []
        for start in range(0, len(candidates), size):
            part = candidates[start : start + size]
            models, outcomes = self._predictions.outcomes(Asked(part, chosen=[model]))
            for outcome in outcomes:
                outcome.graphs = {}
                if isinstance(outcome.item, Crystal | Composition) and not outcome.by_model:
                    outcome.error = no_model_fits(outcome.item, models)
            found += outcomes
        return models, found


def _target(request: TargetRequest | None, manifest: Manifest) -> Target | None:
    """Raises InvalidRequest for a bound that no value of the property can have."""
    if request is None:
        return None
    for bound in (request.above, request.below):
        if bound is not None and bound <= 0 and manifest.property.transform is Transform.LOG10:
            raise InvalidRequest(
                f"{manifest.property.key} is positive and learned as its logarithm: a bound of {bound:g} "
                f"{manifest.property.unit} cannot be met or missed. Give a positive one."
            )
    return Target(request.above, request.below, request.optimum)


@dataclass(frozen=True, slots=True)
class _Compared:
    """A candidate whose place beside the training rows is known."""

    input_id: str
    item: ModelItem
    assessment: Assessment


def _compared(outcome: Outcomes) -> _Compared | None:
    value = outcome.by_model.get(0)
    if outcome.item is None or value is None or isinstance(value, XtalforgeError):
        return None
    if not isinstance(value.assessment, Assessment):
        return None
    return _Compared(outcome.input_id, outcome.item, value.assessment)


def _ranked(
    compared: Sequence[_Compared],
    model: SelectedModel,
    answer: PredictionAnswer,
    wish: SuggestionWish,
    target: Target | None,
) -> SuggestionAnswer:
    everything = Pool.of([each.assessment for each in compared], [_formula(model, each.item) for each in compared])
    ids = [each.input_id for each in compared]
    set_aside = _set_aside(everything, ids)
    left_out = {each.input_id for each in set_aside}
    rows = np.array([row for row, name in enumerate(ids) if name not in left_out], dtype=np.int64)
    pool = everything.take(rows)
    teller = Teller(pool, [ids[row] for row in rows], model.manifest.property, wish.strategy, target)
    predictions = {prediction.input_id: prediction for prediction in answer.predictions}
    picks = suggest(pool, wish.strategy, wish.count, target) if len(pool) else []
    return SuggestionAnswer(
        model=answer.predictions[0].model,
        strategy=wish.strategy,
        score_meaning=teller.meaning(),
        n_ranked=len(pool),
        suggestions=[
            Suggestion(
                rank=rank,
                input_id=teller.ids[pick.candidate],
                formula=pool.formulas[pick.candidate],
                score=pick.score,
                reason=teller.reason(pick),
                prediction=predictions[teller.ids[pick.candidate]],
            )
            for rank, pick in enumerate(picks, start=1)
        ],
        set_aside=set_aside,
        errors=answer.errors,
    )


def _formula(model: SelectedModel, item: ModelItem) -> str:
    # Imports torch, which the engine has done when it comes to this.
    from app.learning.samples import composition_key

    taken = item_for(model, item)
    assert isinstance(taken, Crystal | Composition)
    return composition_key(taken)


def _set_aside(pool: Pool, ids: Sequence[str]) -> list[SetAside]:
    """In the order of the candidates, each for the first of the reasons that it has."""
    known, held_out, repeats = pool.known(), pool.held_out(), pool.repeats()
    found = []
    for row, input_id in enumerate(ids):
        if row in known:
            formula = pool.trust.reference.formulas[known[row]]
            detail = f"the model was trained on {formula}, and cannot tell this from it"
            found.append(SetAside(input_id=input_id, code=SetAsideReason.TRAINING_DATA, detail=detail))
        elif row in held_out:
            formula = pool.trust.held_out.formulas[held_out[row]]
            detail = f"{formula} is a validation or test row of the model, which cannot tell this from it"
            found.append(SetAside(input_id=input_id, code=SetAsideReason.HELD_OUT_DATA, detail=detail))
        elif row in repeats:
            detail = f"the model cannot tell it from {ids[repeats[row]]}, of the same composition"
            found.append(SetAside(input_id=input_id, code=SetAsideReason.REPEAT, detail=detail))
    return found
