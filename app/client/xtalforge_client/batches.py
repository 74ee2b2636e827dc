"""Many inputs as requests of a size that the server takes, and their answers as one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from xtalforge_client.calls import Answer
from xtalforge_client.errors import ServerError, XtalforgeClientError
from xtalforge_client.materials import NamedInput
from xtalforge_client.models import EmbeddingAnswer, PredictionAnswer, PredictionError, StructuresAnswer

CHUNK_SIZE = 200
PARALLEL = 2


@dataclass(frozen=True)
class PlacedInput:
    """An input and its place among all, by which the server knows it: names may repeat, and be of any length."""

    place: int
    content: Mapping[str, Any]

    def request(self) -> dict[str, Any]:
        return {"id": str(self.place), **self.content}


@dataclass
class Part(Generic[Answer]):
    """What became of some of the inputs; `errors` are those of requests in which no input could be used."""

    answers: list[Answer] = field(default_factory=list)
    errors: list[PredictionError] = field(default_factory=list)


def placed(inputs: Iterable[NamedInput]) -> list[PlacedInput]:
    return [PlacedInput(place, given.content) for place, given in enumerate(inputs)]


def split(inputs: Sequence[PlacedInput], size: int) -> list[Sequence[PlacedInput]]:
    if size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {size}")
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]


def smaller_size(error: ServerError, n_inputs: int) -> int | None:
    """How many inputs to send at once after this refusal; None: it is not about their number."""
    limit = error.problem.get("limit")
    if error.code == "too_many_inputs" and isinstance(limit, int) and 1 <= limit < n_inputs:
        return limit
    return n_inputs // 2 if error.code == "payload_too_large" and n_inputs > 1 else None


def errors_of_inputs(error: ServerError) -> list[PredictionError] | None:
    """The reasons, one an input, of a request in which no input could be used; None for any other refusal."""
    entries = error.problem.get("errors")
    if not isinstance(entries, list) or not entries or not all("input_id" in entry for entry in entries):
        return None
    return [PredictionError.model_validate({"model": None, **entry}) for entry in entries]


def _rename(entries: Iterable[Any], names: Sequence[str]) -> None:
    """The caller's names instead of `PLACE`, or of `PLACE#BLOCK`, a block of a CIF of several."""
    for entry in entries:
        place, mark, block = entry.input_id.partition("#")
        entry.input_id = f"{names[int(place)]}{mark}{block}"


def predictions_of(parts: Iterable[Part[PredictionAnswer]], names: Sequence[str]) -> PredictionAnswer:
    found, errors = [], []
    for part in parts:
        found += [each for answer in part.answers for each in answer.predictions]
        errors += [*part.errors, *(each for answer in part.answers for each in answer.errors)]
    _rename([*found, *errors], names)
    return PredictionAnswer(predictions=found, errors=errors)


def structures_of(parts: Iterable[Part[StructuresAnswer]], names: Sequence[str]) -> StructuresAnswer:
    answers = [answer for part in parts for answer in part.answers]
    found = [each for answer in answers for each in answer.structures]
    errors = [each for answer in answers for each in answer.errors]
    _rename([*found, *errors], names)
    return StructuresAnswer(structures=found, errors=errors)


def embeddings_of(parts: Sequence[Part[EmbeddingAnswer]], names: Sequence[str]) -> EmbeddingAnswer | None:
    """All vectors; None when there is none. Raises XtalforgeClientError when the model was changed in between."""
    answers = [answer for part in parts for answer in part.answers]
    if not answers:
        return None
    if len({answer.model.sha256 for answer in answers}) > 1:
        raise XtalforgeClientError("The alias of the model was moved between two requests: name a version.")
    vectors = [each for answer in answers for each in answer.embeddings]
    errors = [*(e for part in parts for e in part.errors), *(e for answer in answers for e in answer.errors)]
    _rename([*vectors, *errors], names)
    return answers[0].model_copy(update={"embeddings": vectors, "errors": errors})
