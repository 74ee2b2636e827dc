"""What became of the inputs of a request, and how it is told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.errors import NoUsableInput, XtalforgeError
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.predictions.engine import Assessment, Estimate, ModelItem
from app.predictions.inputs import FailedInput, ReadInput
from app.predictions.schemas import (
    DEFAULT_LEVEL,
    Domain,
    Interval,
    ModelReference,
    NeighbourRead,
    Prediction,
    PredictionAnswer,
    PredictionError,
)
from app.predictions.selection import SelectedModel, item_for, unseen_elements
from app.registry.manifest import Manifest
from app.structures.crystal import Crystal
from app.structures.formula import Composition


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request wants to know beside the values: the level of intervals, how many of the nearest training rows."""

    interval_level: float = DEFAULT_LEVEL
    neighbours: int = 0


@dataclass(slots=True)
class Outcomes:
    """Of one input: the estimate or error of each model, in the models' order, and the error of the input itself."""

    input_id: str
    item: ModelItem | None = None
    graphs: Mapping[GraphSettings, CrystalGraph | XtalforgeError] = field(default_factory=dict)
    error: XtalforgeError | None = None
    by_model: dict[int, Estimate | XtalforgeError] = field(default_factory=dict)

    def causes(self) -> list[XtalforgeError]:
        failed = [value for value in self.by_model.values() if isinstance(value, XtalforgeError)]
        return [self.error, *failed] if self.error is not None else failed


def outcomes_of(entry: ReadInput | FailedInput) -> Outcomes:
    """Nothing yet, but what reading the input came to."""
    if isinstance(entry, ReadInput):
        return Outcomes(entry.id, item=entry.item, graphs=entry.graphs)
    return Outcomes(entry.id, error=entry.error)


def answer_of(outcomes: Sequence[Outcomes], models: Sequence[SelectedModel], wishes: Wishes) -> PredictionAnswer:
    """Values and errors, in the order of the inputs and the models."""
    answer = PredictionAnswer(predictions=[], errors=[])
    references = [
        ModelReference(name=m.version.model_name, version=m.version.version, sha256=m.version.weights_sha256)
        for m in models
    ]
    for outcome in outcomes:
        if outcome.error is not None:
            answer.errors.append(error_read(outcome.input_id, outcome.error, None))
        for index, value in sorted(outcome.by_model.items()):
            if isinstance(value, XtalforgeError):
                answer.errors.append(error_read(outcome.input_id, value, references[index]))
            elif outcome.item is not None:
                item = item_for(models[index], outcome.item)
                assert isinstance(item, Crystal | Composition)
                answer.predictions.append(
                    _prediction(outcome.input_id, item, value, models[index], references[index], wishes)
                )
    return answer


def _prediction(
    input_id: str,
    item: ModelItem,
    estimate: Estimate,
    model: SelectedModel,
    reference: ModelReference,
    wishes: Wishes,
) -> Prediction:
    assessment = estimate.assessment
    interval, why_none = interval_of(assessment, wishes.interval_level, model.manifest)
    return Prediction(
        input_id=input_id,
        property=model.manifest.property.key,
        value=estimate.value,
        unit=model.manifest.property.unit,
        definition=model.manifest.property.definition,
        model=reference,
        interval=interval,
        domain=domain_of(unseen_elements(model, item), assessment),
        neighbours=_neighbours(assessment, wishes.neighbours),
        notes=[*item.notes, *([model.manifest.scope] if model.manifest.scope else []), *why_none],
    )


def interval_of(assessment: Assessment | None, level: float, manifest: Manifest) -> tuple[Interval | None, list[str]]:
    """The interval, or None and why there is none where the model has intervals of other levels."""
    ends = assessment.interval(level) if assessment is not None else None
    if ends is not None:
        return Interval(level=level, lower=ends[0], upper=ends[1]), []
    if assessment is None or manifest.trust is None:
        return None, []
    known = manifest.trust
    return None, [
        f"no interval of level {level:g}: the {known.n_calibration} rows it would rest on speak for levels up to "
        f"{math.floor(1000 * known.highest_level) / 1000:g}"
    ]


def domain_of(unseen: Sequence[str], assessment: Assessment | None) -> Domain | None:
    """None where nothing is known and nothing speaks against the model. `unseen` are elements of the input."""
    score = assessment.score if assessment is not None else None
    if unseen:
        return Domain(in_domain=False, score=score, reason=unseen_reason(unseen))
    if assessment is None:
        return None
    reason = (
        "as near to the training data as what the model was tested on"
        if assessment.in_domain
        else f"{_times(assessment.score)} as far from the training data as the limit of what the model was tested on"
    )
    return Domain(in_domain=assessment.in_domain, score=score, reason=reason)


def _times(score: float) -> str:
    return f"{score:.2g} times" if score >= 1.05 else "a little more than once"


def unseen_reason(unseen: Sequence[str]) -> str:
    return f"element(s) {', '.join(unseen)} not in the training data"


def _neighbours(assessment: Assessment | None, k: int) -> list[NeighbourRead] | None:
    if k == 0 or assessment is None:
        return None
    return [
        NeighbourRead(formula=each.formula, distance=each.distance, value=each.label)
        for each in assessment.neighbours(k)
    ]


def error_read(input_id: str, error: XtalforgeError, model: ModelReference | None) -> PredictionError:
    """An error as it is told; `model` is the one that failed, None where the input itself cannot be used."""
    # JSON can spell halves of character pairs, which no answer can hold.
    detail = error.detail.encode("utf-8", "backslashreplace").decode()
    return PredictionError(input_id=input_id, code=error.code, detail=detail, model=model)


def nothing_usable(causes: Sequence[XtalforgeError], errors: Sequence[PredictionError]) -> XtalforgeError:
    """What is raised when there is no value at all: the error that every input had, or NoUsableInput."""
    if not errors:
        return NoUsableInput("The request holds no structure and no composition.", errors=[])
    first = errors[0]
    detail = first.detail if len(errors) == 1 else f"None of the inputs could be used. {first.input_id}: {first.detail}"
    # One cause for all keeps its own code and status, so that a client can act on it.
    kind = type(causes[0]) if len({cause.code for cause in causes}) == 1 else NoUsableInput
    return kind(detail, errors=[error.model_dump() for error in errors])


def as_json(answer: PredictionAnswer) -> bytes:
    """The body of an answer; for the thread that computed it, because the event loop has others to serve."""
    return answer.model_dump_json().encode()
