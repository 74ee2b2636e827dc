"""From what was sent to crystals and compositions: one item or one error for each, never an exception."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.core.errors import InvalidRequest, UnparsableStructure, XtalforgeError
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.predictions.engine import ModelItem
from app.predictions.schemas import PredictionInput
from app.predictions.tasks import ObjectTask, Structures, Task, TextTask
from app.structures.archive import shown_name
from app.structures.composition import parse_composition
from app.structures.reader import StructureFormat


@dataclass(frozen=True, slots=True)
class StructureText:
    """A file's text; without a format it is recognised by name and content."""

    text: str
    fmt: StructureFormat | None = None
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class StructureObject:
    """One structure object as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What was sent cannot be handed on."""

    error: XtalforgeError


@dataclass(frozen=True, slots=True)
class Formula:
    text: str


Content = StructureText | StructureObject | Formula | Unreadable


@dataclass(frozen=True, slots=True)
class RawInput:
    """One input as it was sent."""

    id: str
    content: Content


@dataclass(frozen=True, slots=True)
class ReadInput:
    """One input that a model can take; `graphs` are those of a crystal, by their settings."""

    id: str
    item: ModelItem
    graphs: Mapping[GraphSettings, CrystalGraph | XtalforgeError] = field(default_factory=dict)


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


class Reading:
    """The inputs of one request on their way: `tasks` are what is left to be done to them."""

    def __init__(self, inputs: Sequence[RawInput], settings: tuple[GraphSettings, ...], *, only_light: bool) -> None:
        """Crystals are to come with their graphs for each of `settings`; `only_light` as in TextTask."""
        self._inputs = inputs
        self._settings = settings
        self._prepared = [_prepare(given, settings, only_light) for given in inputs]
        self.tasks = [entry for entry in self._prepared if isinstance(entry, TextTask | ObjectTask)]

    def results(self, structures: Sequence[Structures]) -> list[ReadInput | FailedInput]:
        """Every crystal or composition, in order, from the structures of each task; a file may give several."""
        following = iter(structures)
        taken: set[str] = set()
        read: list[ReadInput | FailedInput] = []
        for given, entry in zip(self._inputs, self._prepared, strict=True):
            if isinstance(entry, TextTask | ObjectTask):
                found = _results(given.id, next(following), self._settings)
                read.extend(_with_unique_id(result, taken) for result in found)
            else:
                read.append(_with_unique_id(entry, taken))
        return read


def _content(given: PredictionInput) -> Content:
    if given.cif is not None:
        return StructureText(given.cif, StructureFormat.CIF)
    if given.poscar is not None:
        return StructureText(given.poscar, StructureFormat.POSCAR)
    if given.structure is not None:
        return _object(given.structure)
    return Formula(given.composition or "")


def _prepare(given: RawInput, settings: tuple[GraphSettings, ...], only_light: bool) -> Task | ReadInput | FailedInput:
    """A composition as it is; of a structure what is to be done to it."""
    try:
        match given.content:
            case Formula(text):
                return ReadInput(given.id, parse_composition(text))
            case StructureObject(text):
                return ObjectTask(text, settings)
            case StructureText(text, fmt, file_name):
                return TextTask(text, fmt, file_name, settings, only_light)
            case Unreadable(error):
                return FailedInput(given.id, error)
    except XtalforgeError as error:
        return FailedInput(given.id, error)


def _object(data: dict[str, Any]) -> StructureObject | Unreadable:
    try:
        return StructureObject(json.dumps(data))
    except (ValueError, RecursionError):  # a whole number of thousands of digits
        return Unreadable(UnparsableStructure("The object is nested too deeply, or holds a number of too many digits."))


def _results(
    input_id: str, structures: Sequence[FeaturisedStructure], settings: Sequence[GraphSettings]
) -> Iterator[ReadInput | FailedInput]:
    for entry in structures:
        block_id = f"{input_id}#{shown_name(entry.name)}" if len(structures) > 1 else input_id
        if entry.crystal is not None:
            yield ReadInput(block_id, entry.crystal, dict(zip(settings, entry.graphs, strict=True)))
        elif entry.error is not None:
            yield FailedInput(block_id, entry.error)


def _with_unique_id(result: ReadInput | FailedInput, taken: set[str]) -> ReadInput | FailedInput:
    # Block names of a file may repeat, or make an id that another input has.
    if result.id not in taken:
        taken.add(result.id)
        return result
    unique, n = result.id, 1
    while unique in taken:
        n += 1
        unique = f"{result.id}~{n}"
    taken.add(unique)
    return replace(result, id=unique)
