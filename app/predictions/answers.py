"""What became of the inputs of a request, and how it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.errors import NoUsableInput, XtalforgeError
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.predictions.engine import ModelItem
from app.predictions.inputs import FailedInput, ReadInput
from app.predictions.schemas import Domain, ModelReference, Prediction, PredictionAnswer, PredictionError
from app.predictions.selection import SelectedModel, item_for, unseen_elements
from app.structures.crystal import Crystal
from app.structures.formula import Composition


@dataclass(slots=True)
class Outcomes:
    """Of one input: the value or error of each model, in the models' order, and the error of the input itself."""

    input_id: str
    item: ModelItem | None = None
    graphs: Mapping[GraphSettings, CrystalGraph | XtalforgeError] = field(default_factory=dict)
    error: XtalforgeError | None = None
    by_model: dict[int, float | XtalforgeError] = field(default_factory=dict)

    def causes(self) -> list[XtalforgeError]:
        failed = [value for value in self.by_model.values() if isinstance(value, XtalforgeError)]
        return [self.error, *failed] if self.error is not None else failed


def outcomes_of(entry: ReadInput | FailedInput) -> Outcomes:
    """Nothing yet, but what reading the input came to."""
    if isinstance(entry, ReadInput):
        return Outcomes(entry.id, item=entry.item, graphs=entry.graphs)
    return Outcomes(entry.id, error=entry.error)


def answer_of(outcomes: Sequence[Outcomes], models: Sequence[SelectedModel]) -> PredictionAnswer:
    """Values and errors, in the order of the inputs and the models."""
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
