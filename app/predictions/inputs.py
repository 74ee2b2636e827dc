"""From what was sent to crystals and compositions: one item or one error for each, never an exception."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.core.errors import InvalidRequest, XtalforgeError
from app.predictions.engine import ModelItem
from app.predictions.schemas import PredictionInput
from app.structures.archive import shown_name
from app.structures.composition import parse_composition
from app.structures.reader import StructureFormat, read_structures, structure_from_dict


@dataclass(frozen=True, slots=True)
class StructureText:
    """A file's text; without a format it is recognised by name and content."""

    text: str
    fmt: StructureFormat | None = None
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class StructureObject:
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Formula:
    text: str


@dataclass(frozen=True, slots=True)
class RawInput:
    """One input as it was sent."""

    id: str
    content: StructureText | StructureObject | Formula


@dataclass(frozen=True, slots=True)
class ReadInput:
    """One input that a model can take."""

    id: str
    item: ModelItem


@dataclass(frozen=True, slots=True)
class FailedInput:
    id: str
    error: XtalforgeError


def raw_inputs(inputs: Sequence[PredictionInput]) -> list[RawInput]:
    """The inputs of a JSON request, each with an id. Raises InvalidRequest when two have the same."""
    raw = [RawInput(given.id if given.id is not None else str(i), _content(given)) for i, given in enumerate(inputs)]
    refuse_duplicate_ids(entry.id for entry in raw)
    return raw


def refuse_duplicate_ids(ids: Iterable[str]) -> None:
    """Raise InvalidRequest naming the ids that two inputs share: their answers could not be told apart."""
    duplicates = [name for name, count in Counter(ids).items() if count > 1]
    if duplicates:
        shown = ", ".join(repr(name) for name in duplicates[:5])
        raise InvalidRequest(f"Ids must be unique within a request; these are not: {shown}.", ids=duplicates[:50])


def read_inputs(inputs: Sequence[RawInput]) -> list[ReadInput | FailedInput]:
    """Every crystal or composition in the inputs, in order; a file with several blocks gives several."""
    taken: set[str] = set()
    return [_with_unique_id(result, taken) for given in inputs for result in _read(given)]


def _content(given: PredictionInput) -> StructureText | StructureObject | Formula:
    if given.cif is not None:
        return StructureText(given.cif, StructureFormat.CIF)
    if given.poscar is not None:
        return StructureText(given.poscar, StructureFormat.POSCAR)
    if given.structure is not None:
        return StructureObject(given.structure)
    return Formula(given.composition or "")


def _read(given: RawInput) -> list[ReadInput | FailedInput]:
    try:
        match given.content:
            case Formula(text):
                return [ReadInput(given.id, parse_composition(text))]
            case StructureObject(data):
                return [ReadInput(given.id, structure_from_dict(data))]
            case StructureText(text, fmt, file_name):
                return _read_text(given.id, text, fmt, file_name)
    except XtalforgeError as error:
        return [FailedInput(given.id, error)]


def _read_text(input_id: str, text: str, fmt: StructureFormat | None, file_name: str) -> list[ReadInput | FailedInput]:
    results = read_structures(text, fmt, file_name)
    read: list[ReadInput | FailedInput] = []
    for result in results:
        block_id = f"{input_id}#{shown_name(result.block_name)}" if len(results) > 1 else input_id
        if result.crystal is not None:
            read.append(ReadInput(block_id, result.crystal))
        elif result.error is not None:
            read.append(FailedInput(block_id, result.error))
    return read


def _with_unique_id(result: ReadInput | FailedInput, taken: set[str]) -> ReadInput | FailedInput:
    # Block names of a file may repeat, or make an id that another input has.
    unique, n = result.id, 1
    while unique in taken:
        n += 1
        unique = f"{result.id}~{n}"
    taken.add(unique)
    return replace(result, id=unique)
