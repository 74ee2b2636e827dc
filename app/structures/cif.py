"""CIF text -> crystals, one for each data block."""

import re
from dataclasses import dataclass, replace

import numpy as np
from gemmi import cif

from app.core.errors import (
    InvalidComposition,
    MissingCell,
    NoAtoms,
    StructureError,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
    UnsupportedElement,
)
from app.structures.cif_lenient import read_leniently
from app.structures.cif_sites import SITE_PREFIXES, ListedSites, has_sites, listed_sites
from app.structures.cif_symmetry import SYMMETRY_TAGS, block_operations
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal, FloatArray
from app.structures.geometry import lattice_from_parameters
from app.structures.limits import DEFAULT_LIMITS, StructureLimits
from app.structures.result import StructureResult
from app.structures.symmetry import ExpandedSites, expand_sites, metric_mismatch
from app.structures.validation import check_lattice, make_crystal

METRIC_TOLERANCE = 0.05
"""A cell farther than this from its own symmetry would be filled with misplaced atoms."""

FORMULA_TOLERANCE = 0.02
"""Relative difference in the amount of an element that is noted."""

NOTED_SHIFT = 0.02
"""Moves of a site onto a special position beyond this (Å) are told to the user."""

MAX_NAME = 100
FORMULA_TAG = "_chemical_formula_sum"
_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_WANTED = frozenset(
    tag.lower()
    for tag in (
        FORMULA_TAG,
        *(prefix + name for prefix in ("_cell_", "_cell.") for name in _CELL),
        *(prefix + "fract_x" for prefix in SITE_PREFIXES),
        *SYMMETRY_TAGS,
    )
)
_PARSE_ERROR = re.compile(r"[^:]*:(\d+)(?::\d+\(\d+\))?:?\s*(.*)", flags=re.DOTALL)


@dataclass
class _Budget:
    """Positions that may still be worked out for one text."""

    images_left: int


def read_cif(text: str, limits: StructureLimits = DEFAULT_LIMITS) -> list[StructureResult]:
    """Read all data blocks that describe a structure; blocks without atom sites are passed over if another has some.

    Raises UnparsableStructure when the text is no CIF, StructureTooLarge for too many blocks, and what the only
    block says when no block lists atoms.
    """
    document, notes = _parse(text)
    if len(document) > limits.max_blocks:
        raise StructureTooLarge(f"The file has {len(document)} data blocks; at most {limits.max_blocks} are read.")
    blocks = [block for block in document if has_sites(block)]
    if not blocks:
        raise _no_structure(document)
    budget = _Budget(limits.max_images_of_text)
    return [_result(block, notes, limits, budget) for block in blocks]


def _parse(text: str) -> tuple[cif.Document, tuple[str, ...]]:
    """The document, and a note when it had to be read leniently."""
    try:
        return cif.read_string(text.encode("utf-8", "replace"), 0), ()
    except (ValueError, RuntimeError) as error:
        found = _PARSE_ERROR.fullmatch(str(error))
        reason = f"line {found.group(1)}: {found.group(2).strip()}" if found else str(error)
    document = read_leniently(text, _WANTED)
    if len(document) == 0:
        raise UnparsableStructure(f"The CIF cannot be read: {reason[:200]}.")
    return document, (f"the file breaks the CIF syntax and was read leniently ({reason[:200]})",)


def _no_structure(document: cif.Document) -> StructureError:
    if len(document) == 0:
        return UnparsableStructure("The file has no data block: a CIF starts with a line such as data_NaCl.")
    for block in document:
        if _cell_values(block) is not None:
            return NoAtoms(f"Block {block.name.strip()[:MAX_NAME]!r} has a cell but lists no atom with coordinates.")
    return NoAtoms("The file describes no structure: no data block has a cell and atom sites.")


def _result(block: cif.Block, notes: tuple[str, ...], limits: StructureLimits, budget: _Budget) -> StructureResult:
    name = block.name.strip()[:MAX_NAME]
    try:
        return StructureResult(name, _read_block(block, notes, limits, budget), None)
    except StructureError as error:
        return StructureResult(name, None, error)


def _read_block(block: cif.Block, file_notes: tuple[str, ...], limits: StructureLimits, budget: _Budget) -> Crystal:
    lattice, gamma = _lattice(block)
    sites = listed_sites(block, limits)
    check_lattice(lattice, 1, limits)
    operations, notes = block_operations(block, gamma, limits)
    n_images = len(sites.labels) * operations.count
    if n_images > limits.max_images:
        raise StructureTooLarge(
            f"{len(sites.labels)} sites under {operations.count} symmetry operations are {n_images} positions; "
            f"at most {limits.max_images} are worked out.",
            n_images=n_images,
        )
    budget.images_left -= n_images
    if budget.images_left < 0:
        raise StructureTooLarge(
            f"The structures of this file need more than {limits.max_images_of_text} positions worked out in all: "
            "send it in parts."
        )
    if operations.count > 1 and metric_mismatch(lattice, operations) > METRIC_TOLERANCE:
        raise UnphysicalStructure("The cell lengths and angles do not have the symmetry the file states.")
    expanded = expand_sites(lattice, sites.coordinates, operations, limits.max_sites)
    if len(expanded.origins) > limits.max_sites:
        raise StructureTooLarge(f"The cell holds more than {limits.max_sites} atoms, which is the most that are read.")
    crystal = make_crystal(
        lattice,
        expanded.coordinates,
        sites.atomic_numbers[expanded.origins],
        notes=file_notes + sites.notes + notes + _shift_notes(sites, expanded),
        limits=limits,
        labels=[sites.labels[i] for i in expanded.origins],
    )
    return _compared_with_formula(crystal, block)


def _compared_with_formula(crystal: Crystal, block: cif.Block) -> Crystal:
    """Refuse a crystal that lacks an element of the formula the file declares; note other differences."""
    raw = block.find_value(FORMULA_TAG)
    if raw is None or cif.is_null(raw):
        return crystal
    written = cif.as_string(raw)
    try:
        declared = parse_composition(written).amounts
    except (InvalidComposition, UnsupportedElement):
        return crystal
    counts = crystal.element_counts
    missing = [symbol for symbol in declared if symbol not in counts]
    if missing:
        raise UnparsableStructure(
            f"The file declares the formula {written!r} but lists no site of {', '.join(missing)}: add the missing "
            "atoms, or correct _chemical_formula_sum.",
            missing=missing,
        )
    ratio = crystal.n_sites / sum(declared.values())
    if all(
        abs(count - ratio * declared.get(symbol, 0.0)) <= FORMULA_TOLERANCE * count for symbol, count in counts.items()
    ):
        return crystal
    note = f"the sites make {crystal.reduced_formula}, the file declares {written!r}: the sites count"
    return replace(crystal, notes=(*crystal.notes, note))


def _lattice(block: cif.Block) -> tuple[FloatArray, float]:
    values = _cell_values(block)
    if values is None:
        raise MissingCell("The block has no unit cell: _cell_length_a and the like are missing.")
    numbers = []
    for name, raw in zip(_CELL, values, strict=True):
        if raw is None or cif.is_null(raw):
            raise MissingCell(f"The unit cell is incomplete: _cell_{name} is missing.")
        number = cif.as_number(raw)
        if np.isnan(number):
            raise MissingCell(f"The unit cell cannot be read: _cell_{name} is {raw[:30]!r}, not a number.")
        numbers.append(number)
    a, b, c, alpha, beta, gamma = numbers
    return lattice_from_parameters((a, b, c), (alpha, beta, gamma)), gamma


def _cell_values(block: cif.Block) -> list[str | None] | None:
    """The six raw values of the cell, or None for a block that gives none."""
    for prefix in ("_cell_", "_cell."):
        values: list[str | None] = [block.find_value(prefix + name) for name in _CELL]
        if any(raw is not None and not cif.is_null(raw) for raw in values):
            return values
    return None


def _shift_notes(sites: ListedSites, expanded: ExpandedSites) -> tuple[str, ...]:
    farthest = int(expanded.moved.argmax())
    shift = float(expanded.moved[farthest])
    if shift <= NOTED_SHIFT:
        return ()
    return (f"site {sites.labels[farthest]} was moved by {shift:.2f} Å onto its special position",)
