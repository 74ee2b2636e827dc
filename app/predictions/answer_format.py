"""What was read as bytes and back, for an end that may lie: numbers and texts only, every one of them checked.

A message is the length of a JSON header (8 bytes), the header, padded to 8 bytes, and the arrays of one structure
after the other, little-endian. Header: for each structure `[name, error]`, or `[name, notes, n_sites, graphs]` where a
graph is `[n_nodes, n_edges]` or its error, and an error is `[code, detail, context]`. Arrays of a structure:

    float64  lattice (3, 3), fractional_coordinates (n_sites, 3)
    float32  of each graph: node_weights (n,), distances (e,), edge_weights (e,)
    int32    of each graph: edge_index (2, e)
    uint8    atomic_numbers (n_sites,), then those of each graph (n,); zeros up to a multiple of 8 bytes
"""

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import (
    CoincidentAtoms,
    DisorderedStructure,
    IsolatedAtom,
    MissingCell,
    NoAtoms,
    StructureError,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
    UnsupportedElement,
    XtalforgeError,
)
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.neighbours import TooFewNeighbours
from app.learning.graphs.settings import GraphSettings
from app.predictions.tasks import ServiceFault, Structures, Task, failed
from app.structures.crystal import Crystal
from app.structures.elements import MAX_ATOMIC_NUMBER
from app.structures.limits import DEFAULT_LIMITS
from app.structures.validation import check_lattice

MAX_ANSWER_BYTES = 256 << 20
_MAX_HEADER_BYTES = 8 << 20
_MAX_COORDINATE = 1.0
_MAX_FLOAT32 = 1e6
_ALIGNMENT = 8

_HEADER_LENGTH = struct.Struct("<Q")
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
_ELEMENTS = bytes(range(1, MAX_ATOMIC_NUMBER + 1))
_ERRORS: dict[str, type[XtalforgeError]] = {
    kind.code: kind
    for kind in (
        CoincidentAtoms,
        DisorderedStructure,
        IsolatedAtom,
        MissingCell,
        NoAtoms,
        ServiceFault,
        StructureError,
        StructureTooLarge,
        TooFewNeighbours,
        UnparsableStructure,
        UnphysicalStructure,
        UnsupportedElement,
    )
}
_CONTEXT_KEYS_TAKEN = frozenset(("self", "detail"))


class MalformedAnswer(Exception):
    """What came is no answer to the task."""


def pack_answer(structures: Structures) -> bytes:
    """The structures of one task. Where they take more than an answer may, an error that says so."""
    header: list[tuple[Any, ...]] = []
    arrays: list[bytes] = []
    for entry in structures:
        if entry.crystal is None:
            header.append((entry.name, _packed_error(entry.error or ServiceFault("No structure and no error."))))
            continue
        graphs = [_shape(graph) if isinstance(graph, CrystalGraph) else _packed_error(graph) for graph in entry.graphs]
        header.append((entry.name, entry.crystal.notes, entry.crystal.n_sites, graphs))
        arrays += _arrays(entry.crystal, [graph for graph in entry.graphs if isinstance(graph, CrystalGraph)])
    text = _encode(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    n_bytes = _HEADER_LENGTH.size + len(text) + sum(len(each) for each in arrays)
    if n_bytes > MAX_ANSWER_BYTES or len(text) > _MAX_HEADER_BYTES:
        return pack_answer(
            failed(
                StructureTooLarge("The structures of this file and their neighbours are too many: send it in parts.")
            )
        )
    return b"".join((_HEADER_LENGTH.pack(len(text)), text, *arrays))


def unpack_answer(message: bytearray, task: Task) -> Structures:
    """The structures of the task, in memory of the message. Raises MalformedAnswer for anything they cannot be."""
    try:
        header, start = _header(message)
        reader = _Reader(message, start)
        structures = [_structure(entry, reader, task.settings) for entry in header]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, struct.error, StructureError) as error:
        raise MalformedAnswer(f"{type(error).__name__}: {error}") from None
    if not reader.is_at_end or len(structures) > DEFAULT_LIMITS.max_blocks:
        raise MalformedAnswer("too long")
    if not structures and not task.only_light:
        raise MalformedAnswer("no structure")
    return structures


def _packed_error(error: XtalforgeError) -> tuple[str, str, dict[str, Any]]:
    kind = next((kind for kind in type(error).__mro__ if _ERRORS.get(getattr(kind, "code", "")) is kind), ServiceFault)
    return kind.code, error.detail, error.context


def _shape(graph: CrystalGraph) -> tuple[int, int]:
    return graph.n_nodes, graph.n_edges


def _arrays(crystal: Crystal, graphs: Sequence[CrystalGraph]) -> Iterator[bytes]:
    yield crystal.lattice.astype("<f8", copy=False).tobytes()
    yield crystal.fractional_coordinates.astype("<f8", copy=False).tobytes()
    for graph in graphs:
        yield graph.node_weights.astype("<f4", copy=False).tobytes()
        yield graph.distances.astype("<f4", copy=False).tobytes()
        yield graph.edge_weights.astype("<f4", copy=False).tobytes()
    for graph in graphs:
        yield graph.edge_index.astype("<i4", copy=False).tobytes()
    elements = b"".join((crystal.atomic_numbers.astype("u1").tobytes(), *(g.atomic_numbers.tobytes() for g in graphs)))
    n_floats = sum(graph.n_nodes for graph in graphs)
    yield elements + bytes(-(4 * n_floats + len(elements)) % _ALIGNMENT)


class _Reader:
    """Takes arrays from a message, one after the other. All are views of it."""

    def __init__(self, message: bytearray, start: int) -> None:
        self._message = message
        self._at = start

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._message)

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        """The next `count` >= 0 numbers. Raises ValueError when there are not so many."""
        array = np.frombuffer(self._message, dtype, count, self._at)
        self._at += array.nbytes
        return array

    def align(self) -> None:
        self._at += -self._at % _ALIGNMENT


def _header(message: bytearray) -> tuple[list[Any], int]:
    (length,) = _HEADER_LENGTH.unpack_from(message)
    start = _HEADER_LENGTH.size + length
    if length > _MAX_HEADER_BYTES or start > len(message) or length % _ALIGNMENT:
        raise MalformedAnswer("the header is too long")
    header = json.loads(message[_HEADER_LENGTH.size : start].decode("ascii"))
    if type(header) is not list:
        raise MalformedAnswer("the header is no list")
    return header, start


def _structure(entry: Any, reader: _Reader, settings: Sequence[GraphSettings]) -> FeaturisedStructure:
    if len(entry) == 2:
        return FeaturisedStructure(_text(entry[0]), None, (), _error(entry[1]))
    name, notes, n_sites, graphs = entry
    _refuse_unless(type(notes) is list and len(graphs) == len(settings), "notes and graphs do not fit the task")
    _count(n_sites, DEFAULT_LIMITS.max_sites)
    lattice = reader.array("<f8", 9).reshape(3, 3)
    coordinates = reader.array("<f8", 3 * n_sites).reshape(n_sites, 3)
    _refuse_unless(_is_within(coordinates, 0.0, _MAX_COORDINATE), "coordinates out of range")
    check_lattice(lattice, n_sites, DEFAULT_LIMITS)
    shapes = [_checked_shape(graph, n_sites, each) for graph, each in zip(graphs, settings, strict=True)]
    sent = [shape for shape in shapes if not isinstance(shape, XtalforgeError)]
    floats = reader.array("<f4", sum(n_nodes + 2 * n_edges for n_nodes, n_edges in sent))
    _refuse_unless(not sent or _is_within(floats, 0.0, _MAX_FLOAT32), "distances or weights out of range")
    edges = [_edge_index(reader, n_nodes, n_edges) for n_nodes, n_edges in sent]
    elements = reader.array("u1", n_sites + sum(n_nodes for n_nodes, _ in sent))
    _refuse_unless(not elements.tobytes().translate(None, _ELEMENTS), "elements out of range")
    reader.align()
    crystal = Crystal(lattice, coordinates, elements[:n_sites].astype(np.int64), tuple(map(_text, notes)))
    made = iter(_graphs(sent, floats, edges, elements, n_sites))
    return FeaturisedStructure(
        _text(name), crystal, tuple(each if isinstance(each, XtalforgeError) else next(made) for each in shapes), None
    )


def _graphs(
    shapes: Sequence[tuple[int, int]],
    floats: npt.NDArray[np.float32],
    edges: Sequence[npt.NDArray[np.int32]],
    elements: npt.NDArray[np.uint8],
    n_sites: int,
) -> Iterator[CrystalGraph]:
    at, element_at = 0, n_sites
    for (n_nodes, n_edges), edge_index in zip(shapes, edges, strict=True):
        middle, last = at + n_nodes, at + n_nodes + n_edges
        yield CrystalGraph(
            atomic_numbers=elements[element_at : element_at + n_nodes],
            node_weights=floats[at:middle],
            edge_index=edge_index,
            distances=floats[middle:last],
            edge_weights=floats[last : last + n_edges],
            n_sites=n_sites,
        )
        at, element_at = last + n_edges, element_at + n_nodes


def _checked_shape(graph: Any, n_sites: int, settings: GraphSettings) -> tuple[int, int] | XtalforgeError:
    if len(graph) == 3:
        return _error(graph)
    n_nodes, n_edges = graph
    _count(n_nodes, n_sites)
    _count(n_edges, settings.max_edges)
    return n_nodes, n_edges


def _edge_index(reader: _Reader, n_nodes: int, n_edges: int) -> npt.NDArray[np.int32]:
    """Centres 0, 1, ... without a gap, and neighbours among them. As unsigned numbers none is below 0."""
    edge_index: npt.NDArray[np.int32] = reader.array("<i4", 2 * n_edges).reshape(2, n_edges)
    centre, neighbour = edge_index
    steps = (centre[1:] - centre[:-1]).view(np.uint32)
    is_sorted = centre[0] == 0 and centre[-1] == n_nodes - 1 and (n_edges == 1 or steps.max() <= 1)
    _refuse_unless(is_sorted and neighbour.view(np.uint32).max() < n_nodes, "edges out of range")
    return edge_index


def _is_within(values: npt.NDArray[Any], lowest: float, highest: float) -> bool:
    """Whether all are; NaN never is. At least one."""
    return bool(values.min() >= lowest and values.max() <= highest)


def _count(value: Any, most: int) -> None:
    _refuse_unless(type(value) is int and 1 <= value <= most, "a count is out of range")


def _text(value: Any) -> str:
    _refuse_unless(type(value) is str, "no text")
    text: str = value
    return text


def _error(packed: Any) -> XtalforgeError:
    code, detail, context = packed
    _refuse_unless(type(context) is dict and _CONTEXT_KEYS_TAKEN.isdisjoint(context), "no context")
    return _ERRORS[code](_text(detail), **context)


def _refuse_unless(is_right: bool, reason: str) -> None:
    if not is_right:
        raise MalformedAnswer(reason)
