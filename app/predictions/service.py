"""Predictions of many inputs by many models; what fails is reported beside what works."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

from app.core.errors import InputKindMismatch, NoUsableInput, TooManyInputs, XtalforgeError
from app.core.settings import LimitSettings
from app.learning.featurising import FeaturisedCrystal
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.predictions.directory import ModelDirectory
from app.predictions.engine import EngineInput, InferenceEngine, ModelItem
from app.predictions.featuriser import MAX_INLINE, Featuriser
from app.predictions.inputs import FailedInput, RawInput, ReadInput, read_inputs
from app.predictions.schemas import Domain, ModelReference, Prediction, PredictionAnswer, PredictionError
from app.predictions.selection import SelectedModel, item_for, no_model_fits, unseen_elements
from app.structures.crystal import Crystal
from app.structures.formula import Composition


@dataclass(slots=True)
class _Outcomes:
    """Of one input: the value or error of each model, in the models' order, and the error of the input itself."""

    input_id: str
    item: ModelItem | None = None
    graphs: Mapping[GraphSettings, CrystalGraph | XtalforgeError] = field(default_factory=dict)
    error: XtalforgeError | None = None
    by_model: dict[int, float | XtalforgeError] = field(default_factory=dict)

    def causes(self) -> list[XtalforgeError]:
        failed = [value for value in self.by_model.values() if isinstance(value, XtalforgeError)]
        return [self.error, *failed] if self.error is not None else failed


class PredictionService:
    """Blocking; meant for a worker thread."""

    def __init__(
        self,
        directory: ModelDirectory,
        engine: InferenceEngine,
        limits: LimitSettings,
        featuriser: Featuriser,
    ) -> None:
        self._directory = directory
        self._engine = engine
        self._limits = limits
        self._featuriser = featuriser

    def predict(
        self,
        inputs: Sequence[RawInput],
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        failed: Sequence[FailedInput] = (),
    ) -> PredictionAnswer:
        """Values and errors of these inputs; `failed` are inputs that the caller could not read.

        Raises TooManyInputs, the errors of `ModelDirectory.select`, and when there is no value at all the error that
        every input had, or NoUsableInput when they differ; its `errors` list them.
        """
        answer, causes = self._predict(inputs, models, properties, failed)
        if not answer.predictions:
            raise _nothing_usable(causes, answer.errors)
        return answer

    def predict_leniently(
        self,
        inputs: Sequence[RawInput],
        models: Sequence[str] | None = None,
        properties: Sequence[str] | None = None,
        failed: Sequence[FailedInput] = (),
    ) -> PredictionAnswer:
        """The same, but an answer without any value is no error."""
        return self._predict(inputs, models, properties, failed)[0]

    def _predict(
        self,
        inputs: Sequence[RawInput],
        models: Sequence[str] | None,
        properties: Sequence[str] | None,
        failed: Sequence[FailedInput],
    ) -> tuple[PredictionAnswer, list[XtalforgeError]]:
        self._refuse_too_many(len(inputs))
        selected = self._directory.select(models, properties)
        settings = tuple(dict.fromkeys(model.graph for model in selected if model.graph is not None))
        # A batch takes so long to read that nobody should wait for it.
        with self._engine.approaching() if len(inputs) <= MAX_INLINE else nullcontext():
            read = [*read_inputs(inputs, self._featuriser, settings), *failed]
        self._refuse_too_many(len(read))
        outcomes = [_outcomes(entry) for entry in read]
        for index, model in enumerate(selected):
            self._run_model(index, model, outcomes)
        for outcome in outcomes:
            if outcome.item is not None and not outcome.by_model:
                outcome.error = no_model_fits(outcome.item, selected)
        return _answer(outcomes, selected), [cause for outcome in outcomes for cause in outcome.causes()]

    def _refuse_too_many(self, n_inputs: int) -> None:
        most = self._limits.max_inputs_per_request
        if n_inputs > most:
            raise TooManyInputs(
                f"One request may have {most:,} inputs; this one has {n_inputs:,}. Split it.", limit=most
            )

    def _run_model(self, index: int, model: SelectedModel, outcomes: Sequence[_Outcomes]) -> None:
        given: list[tuple[_Outcomes, EngineInput]] = []
        for outcome in outcomes:
            item = item_for(model, outcome.item) if outcome.item is not None else None
            if isinstance(item, InputKindMismatch):
                outcome.by_model[index] = item
            elif item is not None:
                given.append((outcome, FeaturisedCrystal(item, outcome.graphs) if isinstance(item, Crystal) else item))
        if not given:
            return
        values = self._values(model, [item for _, item in given])
        for (outcome, _), value in zip(given, values, strict=True):
            outcome.by_model[index] = value

    def _values(self, model: SelectedModel, items: Sequence[EngineInput]) -> Sequence[float | XtalforgeError]:
        try:
            # Not by the weights: two versions may share them and differ in scale or unit.
            return self._engine.predict(model.version.id, partial(self._directory.load, model.version), items)
        except XtalforgeError as error:
            # A model that cannot be loaded must not take the others' answers with it.
            return [error] * len(items)


def _outcomes(entry: ReadInput | FailedInput) -> _Outcomes:
    if isinstance(entry, ReadInput):
        return _Outcomes(entry.id, item=entry.item, graphs=entry.graphs)
    return _Outcomes(entry.id, error=entry.error)


def _answer(outcomes: Sequence[_Outcomes], models: Sequence[SelectedModel]) -> PredictionAnswer:
    answer = PredictionAnswer(predictions=[], errors=[])
    references = [
        ModelReference(name=m.version.model_name, version=m.version.version, sha256=m.version.weights_sha256)
        for m in models
    ]
    for outcome in outcomes:
        if outcome.error is not None:
            answer.errors.append(_error(outcome.input_id, outcome.error, None))
        for index, value in sorted(outcome.by_model.items()):
            if isinstance(value, XtalforgeError):
                answer.errors.append(_error(outcome.input_id, value, references[index]))
            elif outcome.item is not None:
                item = item_for(models[index], outcome.item)
                assert isinstance(item, Crystal | Composition)
                answer.predictions.append(_prediction(outcome.input_id, item, value, models[index], references[index]))
    return answer


def _prediction(
    input_id: str, item: ModelItem, value: float, model: SelectedModel, reference: ModelReference
) -> Prediction:
    unseen = unseen_elements(model, item)
    reason = f"element(s) {', '.join(unseen)} not in the training data"
    return Prediction(
        input_id=input_id,
        property=model.manifest.property.key,
        value=value,
        unit=model.manifest.property.unit,
        definition=model.manifest.property.definition,
        model=reference,
        interval=None,
        domain=Domain(in_domain=False, score=None, reason=reason) if unseen else None,
        notes=[*item.notes, *([model.manifest.scope] if model.manifest.scope else [])],
    )


def _error(input_id: str, error: XtalforgeError, model: ModelReference | None) -> PredictionError:
    # JSON can spell halves of character pairs, which no answer can hold.
    detail = error.detail.encode("utf-8", "backslashreplace").decode()
    return PredictionError(input_id=input_id, code=error.code, detail=detail, model=model)


def _nothing_usable(causes: Sequence[XtalforgeError], errors: Sequence[PredictionError]) -> XtalforgeError:
    if not errors:
        return NoUsableInput("The request holds no structure and no composition.", errors=[])
    first = errors[0]
    detail = first.detail if len(errors) == 1 else f"None of the inputs could be used. {first.input_id}: {first.detail}"
    # One cause for all keeps its own code and status, so that a client can act on it.
    kind = type(causes[0]) if len({cause.code for cause in causes}) == 1 else NoUsableInput
    return kind(detail, errors=[error.model_dump() for error in errors])
