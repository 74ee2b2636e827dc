"""From rows to crystals and compositions with their graphs; imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.bulk.chunks import Chunk
from app.core.errors import StructureTooLarge, XtalforgeError
from app.core.logging import get_logger
from app.datasets.rows import RawRow, RowKind
from app.learning.featurising import featurise_text
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.structures.archive import shown_name
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.formula import Composition

SLICE_EDGES = 500_000
"""Graphs are handed on when they have so many edges together: a few tens of megabytes."""

Problem = tuple[str, str]
"""Stable code and reason in words."""

_FORMATS = {
    RowKind.CIF: StructureFormat.CIF,
    RowKind.POSCAR: StructureFormat.POSCAR,
    RowKind.JSON: StructureFormat.JSON,
    RowKind.UNKNOWN: None,
}


log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of a row (a file with several blocks gives several): `item`, or the `problem` with it.

    `graphs` are one graph or problem for each of the graph settings asked for; empty unless the item is a crystal.
    """

    row: int
    input_id: str
    item: Crystal | Composition | None
    graphs: tuple[CrystalGraph | Problem, ...] = ()
    problem: Problem | None = None


def read_chunk(
    chunk: Chunk,
    settings: Sequence[GraphSettings],
    excluded: Mapping[int, Problem],
    begin: Callable[[int], None],
    hand_on: Callable[[list[Entry]], None],
) -> None:
    """Hand on the entries of all rows, in order, in slices that fit into memory.

    `begin` is told the index of each row before it is read; rows in `excluded` are not read but have that problem.
    """
    held: list[Entry] = []
    n_edges = 0
    for index, row in enumerate(chunk.rows):
        if index in excluded:
            held.append(Entry(row.line, row.row_id, None, problem=excluded[index]))
            continue
        begin(index)
        entries = _guarded(row, settings)
        held += entries
        n_edges += sum(g.n_edges for entry in entries for g in entry.graphs if isinstance(g, CrystalGraph))
        if n_edges > SLICE_EDGES:
            hand_on(held)
            held, n_edges = [], 0
    if held:
        hand_on(held)


def _guarded(row: RawRow, settings: Sequence[GraphSettings]) -> list[Entry]:
    """A fault of ours at one row must not end a run of a million."""
    try:
        return read_row(row, settings)
    except MemoryError:
        problem = (StructureTooLarge.code, "The structure needs more memory than there is.")
    except Exception:
        log.exception("unexpected error at a row", row=row.line)
        problem = (XtalforgeError.code, "Something went wrong while this input was read; the log has the details.")
    return [Entry(row.line, row.row_id, None, problem=problem)]


def read_row(row: RawRow, settings: Sequence[GraphSettings]) -> list[Entry]:
    """What a row holds, at least one entry; what cannot be read has a `problem`."""
    if row.problem is not None:
        return [Entry(row.line, row.row_id, None, problem=row.problem)]
    if row.kind is RowKind.COMPOSITION:
        return [_read_composition(row)]
    found = featurise_text(row.text, _FORMATS[row.kind], row.row_id, settings)
    entries = []
    for structure in found:
        name = f"{row.row_id}#{shown_name(structure.name)}" if len(found) > 1 else row.row_id
        graphs = tuple(g if isinstance(g, CrystalGraph) else _problem(g) for g in structure.graphs)
        problem = _problem(structure.error) if structure.error is not None else None
        entries.append(Entry(row.line, name, structure.crystal, graphs, problem))
    return entries


def _read_composition(row: RawRow) -> Entry:
    try:
        return Entry(row.line, row.row_id, parse_composition(row.text))
    except XtalforgeError as error:
        return Entry(row.line, row.row_id, None, problem=_problem(error))


def _problem(error: XtalforgeError) -> Problem:
    # Half characters, which a text may hold but no file, are spelt out.
    return error.code, error.detail.encode("utf-8", "backslashreplace").decode()
