"""The atom sites of a CIF data block: elements and coordinates, or the reason why they make no ordered crystal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gemmi import cif

from app.core.errors import (
    DisorderedStructure,
    NoAtoms,
    StructureError,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
)
from app.structures.crystal import FloatArray, IntArray
from app.structures.elements import isotope_note
from app.structures.limits import StructureLimits
from app.structures.species import element_of_label, element_of_type

FULL_OCCUPANCY_TOLERANCE = 0.002
"""Occupancies from 0.998 to 1.002 count as full."""

SITE_PREFIXES = ("_atom_site_", "_atom_site.")
_REQUIRED = ["label", "fract_x", "fract_y", "fract_z"]
_OPTIONAL = ["?type_symbol", "?occupancy", "?disorder_group", "?calc_flag", "?attached_hydrogens"]
_TYPE, _OCCUPANCY, _GROUP, _CALC, _HYDROGENS = range(4, 9)
_WITHOUT_LABEL = ["type_symbol", *_REQUIRED[1:], *_OPTIONAL]
_UNKNOWN = "?"
_NULLS = frozenset((_UNKNOWN, "."))
_NO_GROUP = _NULLS | {"0"}
_FULL = _NULLS | {"1", "1.", "1.0", "1.00", "1.000", "1.0000"}
"""Occupancies as nearly every ordered file writes them: such columns need no look at each row."""
_NAMED_AT_MOST = 6
MAX_LABEL = 40


@dataclass(frozen=True)
class ListedSites:
    """The sites as listed, before symmetry: labels (n), atomic_numbers (n,), fractional coordinates (n, 3)."""

    labels: list[str]
    atomic_numbers: IntArray
    coordinates: FloatArray
    notes: tuple[str, ...]


def has_sites(block: cif.Block) -> bool:
    """Whether a block lists at least one atom that is not a row of placeholders."""
    table = _site_table(block)
    return table is not None and any(raw not in _NULLS for i in range(4) for raw in table.column(i))


def listed_sites(block: cif.Block, limits: StructureLimits) -> ListedSites:
    """Read the sites of a block. Raises the StructureError that names the sites at fault."""
    table = _site_table(block)
    if table is None:
        raise NoAtoms(_why_no_sites(block))
    if len(table) > limits.max_sites:
        raise StructureTooLarge(f"The file lists {len(table)} sites; at most {limits.max_sites} atoms are read.")
    columns = [_column(table, i) for i in range(9)]
    labels = [_plain_string(raw)[:MAX_LABEL] for raw in columns[0]]
    used = _used_rows(columns, labels)
    if len(used) < len(labels):
        columns = [[column[i] for i in used] if column else [] for column in columns]
        labels = [labels[i] for i in used]
    if not labels:
        raise NoAtoms("The file lists no atom with coordinates.")
    occupied, notes = _occupied_rows(columns, labels)
    if len(occupied) < len(labels):
        columns = [[column[i] for i in occupied] if column else [] for column in columns]
        labels = [labels[i] for i in occupied]
    _refuse_dummies(columns, labels)
    numbers, isotope_notes = _atomic_numbers(columns[_TYPE], labels)
    _refuse_missing_hydrogens(columns[_HYDROGENS], labels, numbers)
    coordinates, default_notes = _coordinates(columns[1:4], labels)
    return ListedSites(labels, numbers, coordinates, notes + isotope_notes + default_notes)


def _column(table: cif.Table, index: int) -> list[str]:
    """Raw values; none where the file has no such column."""
    values = list(table.column(index)) if table.has_column(index) else []
    # A tag outside of a loop that lacks its value comes with an empty one: unknown.
    return [raw or "?" for raw in values] if "" in values else values


def _plain_string(raw: str) -> str:
    return cif.as_string(raw) if raw[0] in "'\";" else raw


def _site_table(block: cif.Block) -> cif.Table | None:
    for prefix in SITE_PREFIXES:
        for tags in (_REQUIRED + _OPTIONAL, _WITHOUT_LABEL):
            table = block.find(prefix, tags)
            if len(table) > 0:
                return table
    return None


def _why_no_sites(block: cif.Block) -> str:
    if len(block.find_values("_atom_site_Cartn_x")) or len(block.find_values("_atom_site.Cartn_x")):
        return "The file gives Cartesian coordinates only; _atom_site_fract_x, _y and _z are needed."
    return "The file lists no atom sites (_atom_site_label with _atom_site_fract_x, _y and _z)."


def _used_rows(columns: list[list[str]], labels: list[str]) -> list[int]:
    """Rows that are not placeholders throughout."""
    if _NULLS.isdisjoint(columns[0]):
        return list(range(len(labels)))
    return [i for i in range(len(labels)) if not all(cif.is_null(column[i]) for column in columns[:4])]


def _occupied_rows(columns: list[list[str]], labels: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Rows with an atom. Raises DisorderedStructure for partial occupancy and disorder groups."""
    everything = list(range(len(labels)))
    groups = columns[_GROUP]
    if _NO_GROUP.issuperset(groups) and _FULL.issuperset(columns[_OCCUPANCY]):
        return everything, ()
    disordered = [labels[i] for i in everything if groups and not cif.is_null(groups[i]) and groups[i] != "0"]
    if not columns[_OCCUPANCY]:
        _refuse_disorder(disordered, "belong to disorder groups")
        return everything, ()
    occupancies = [_occupancy(raw, label) for raw, label in zip(columns[_OCCUPANCY], labels, strict=True)]
    partial = [
        f"{label} ({occupancy:g})"
        for label, occupancy in zip(labels, occupancies, strict=True)
        if 0 < occupancy < 1 - FULL_OCCUPANCY_TOLERANCE
    ]
    _refuse_disorder(partial, "are partly occupied")
    _refuse_disorder(disordered, "belong to disorder groups")
    empty = [labels[i] for i in everything if occupancies[i] == 0]
    notes = (f"sites of occupancy 0 were left out: {_listing(empty)}",) if empty else ()
    if len(empty) == len(labels):
        raise NoAtoms("All sites of the file have occupancy 0.")
    return [i for i in everything if occupancies[i] > 0], notes


def _occupancy(raw: str, label: str) -> float:
    """Occupancy of a site; not given means fully occupied."""
    if cif.is_null(raw):
        return 1.0
    value = cif.as_number(raw)
    if not 0 <= value <= 1 + FULL_OCCUPANCY_TOLERANCE:
        raise UnphysicalStructure(
            f"Site {label} has the occupancy {raw[:30]}; it must lie between 0 and 1.", site=label
        )
    return value


def _refuse_disorder(sites: list[str], what: str) -> None:
    if sites:
        raise DisorderedStructure(
            f"Sites of the structure {what}: {_listing(sites)}. Predictions need one atom on every site: "
            "give an ordered model of the structure.",
            sites=sites[:_NAMED_AT_MOST],
        )


def _refuse_dummies(columns: list[list[str]], labels: list[str]) -> None:
    dummies = [label for flag, label in zip(columns[_CALC], labels, strict=False) if flag in ("dum", "DUM")]
    if dummies:
        raise UnparsableStructure(f"These sites are dummies, not atoms: {_listing(dummies)}. Remove them.")


def _atomic_numbers(types: list[str], labels: list[str]) -> tuple[IntArray, tuple[str, ...]]:
    written = types or [_UNKNOWN] * len(labels)
    elements: dict[tuple[str, str], tuple[int, str | None]] = {}
    keys = [(raw, label if raw in _NULLS else "") for raw, label in zip(written, labels, strict=True)]
    for key, label in zip(keys, labels, strict=True):
        if key not in elements:
            try:
                elements[key] = _element(*key)
            except StructureError as error:
                raise type(error)(f"Site {label}: {error.detail}", **error.context) from None
    isotopes = {isotope for _, isotope in elements.values() if isotope is not None}
    numbers = np.array([elements[key][0] for key in keys], dtype=np.int64)
    return numbers, tuple(isotope_note(symbol) for symbol in sorted(isotopes))


def _element(type_symbol: str, label: str) -> tuple[int, str | None]:
    if type_symbol in _NULLS:
        return element_of_label(label)
    return element_of_type(cif.as_string(type_symbol).strip())


def _refuse_missing_hydrogens(attached: list[str], labels: list[str], numbers: IntArray) -> None:
    """Hydrogen that is stated but has no place would be missing from the crystal."""
    bearers = [label for raw, label in zip(attached, labels, strict=False) if cif.as_number(raw) > 0]
    if bearers and not (numbers == 1).any():
        raise UnparsableStructure(
            f"Hydrogen is attached to {_listing(bearers)} but has no coordinates (_atom_site_attached_hydrogens): "
            "add the hydrogen positions."
        )


def _coordinates(texts: list[list[str]], labels: list[str]) -> tuple[FloatArray, tuple[str, ...]]:
    """Fractional coordinates (n, 3) from three columns of texts; 0.3333 is read as the sixth it is rounded from.

    A dot is the dictionary's default, 0, and noted; a question mark is an error.
    """
    coordinates = np.array([[cif.as_number(raw) for raw in column] for column in texts]).T
    notes: tuple[str, ...] = ()
    if not np.isfinite(coordinates).all():
        for row, axis in np.argwhere(~np.isfinite(coordinates)):
            raw = texts[axis][row]
            if raw != ".":
                problem = "is missing" if cif.is_null(raw) else f"is {raw[:30]!r}, not a number"
                raise UnparsableStructure(
                    f"The coordinate {'xyz'[axis]} of site {labels[row]} {problem}.", site=labels[row]
                )
            coordinates[row, axis] = 0.0
        notes = ("coordinates written as a dot were read as 0, their default",)
    multiples = np.rint(coordinates * 6)
    sixths = multiples / 6
    candidates = (np.abs(coordinates - sixths) < 6e-4) & (multiples % 3 != 0)
    for row, axis in np.argwhere(candidates) if candidates.any() else ():
        digits = len(texts[axis][row].partition("(")[0].partition(".")[2])
        if digits >= 3 and abs(coordinates[row, axis] - sixths[row, axis]) < 10.0**-digits:
            coordinates[row, axis] = sixths[row, axis]
    return coordinates, notes


def _listing(sites: Sequence[str]) -> str:
    shown = ", ".join(sites[:_NAMED_AT_MOST])
    return f"{shown} and {len(sites) - _NAMED_AT_MOST} more" if len(sites) > _NAMED_AT_MOST else shown
