"""What every reader asks of a crystal before it is handed on."""

from collections.abc import Sequence

import numpy as np
from pymatgen.optimization.neighbors import find_points_in_spheres

from app.core.errors import (
    CoincidentAtoms,
    NoAtoms,
    StructureTooLarge,
    UnphysicalStructure,
    UnsupportedElement,
)
from app.structures.crystal import Crystal, FloatArray, IntArray
from app.structures.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from app.structures.geometry import box_volume, cell_heights, cell_volume, reduced_lattice
from app.structures.limits import DEFAULT_LIMITS, StructureLimits

DENSE_SITES = 48
"""Up to so many sites all pairs at once are faster than a cell list."""

_PERIODIC = np.ones(3, dtype=np.int64)
_PAIR_RADIUS = 1.2
"""In units of the mean distance of atoms; beyond any `min_distance` where `min_volume_per_atom` holds."""

MAX_COORDINATE = 1000.0
"""Fractional coordinates beyond this are Cartesian ones or worse."""


def make_crystal(
    lattice: FloatArray,
    coordinates: FloatArray,
    atomic_numbers: IntArray,
    *,
    notes: tuple[str, ...] = (),
    limits: StructureLimits = DEFAULT_LIMITS,
    labels: Sequence[str] | None = None,
) -> Crystal:
    """A validated crystal with its coordinates (N, 3) wrapped into the cell, 0 <= x < 1.

    Raises what `validate_crystal` raises.
    """
    if not (np.isfinite(coordinates).all() and np.abs(coordinates).max(initial=0.0) <= MAX_COORDINATE):
        raise UnphysicalStructure(
            f"A fractional coordinate is not a number or beyond {MAX_COORDINATE:g}: are the coordinates Cartesian?"
        )
    wrapped = coordinates - np.floor(coordinates)
    wrapped[wrapped >= 1.0] = 0.0
    crystal = Crystal(lattice, wrapped, atomic_numbers, notes)
    validate_crystal(crystal, limits, labels)
    return crystal


def validate_crystal(
    crystal: Crystal, limits: StructureLimits = DEFAULT_LIMITS, labels: Sequence[str] | None = None
) -> None:
    """Raise the StructureError that says why a crystal cannot be used; return for one that can.

    `labels` (N) name the sites in messages; without them a site is its element and its number from 1.
    """
    n_sites = crystal.n_sites
    if n_sites == 0:
        raise NoAtoms("The structure has no atoms.")
    check_site_count(n_sites, limits)
    if not (np.isfinite(crystal.lattice).all() and np.isfinite(crystal.fractional_coordinates).all()):
        raise UnphysicalStructure("The cell or a coordinate is not a finite number.")
    check_elements(crystal.atomic_numbers)
    check_lattice(crystal.lattice, n_sites, limits)
    pair = _coincident_pair(crystal, limits)
    if pair is not None:
        first, second, distance = pair
        names = [labels[i] if labels is not None else _site_name(crystal, i) for i in (first, second)]
        raise CoincidentAtoms(
            f"Sites {names[0]} and {names[1]} are {distance:.2f} Å apart; atoms nearer than "
            f"{limits.min_distance:g} Å share one place.",
            sites=names,
        )


def check_site_count(n_sites: int, limits: StructureLimits) -> None:
    """Raise StructureTooLarge beyond `limits.max_sites`."""
    if n_sites > limits.max_sites:
        raise StructureTooLarge(
            f"The cell holds {n_sites} atoms; at most {limits.max_sites} are read.", n_sites=n_sites
        )


def check_elements(atomic_numbers: IntArray) -> None:
    """Raise UnsupportedElement unless all numbers (N,) are those of H to Fm."""
    lowest, highest = int(atomic_numbers.min()), int(atomic_numbers.max())
    for number in (lowest, highest):
        if not 1 <= number <= MAX_ATOMIC_NUMBER:
            name = SYMBOLS[number] if 1 <= number < len(SYMBOLS) else "which does not exist"
            raise UnsupportedElement(f"Element {number} ({name}) is not supported; elements 1 (H) to 100 (Fm) are.")


def check_lattice(lattice: FloatArray, n_sites: int, limits: StructureLimits) -> None:
    """Raise UnphysicalStructure for a flat, crowded, overlong or too finely repeating cell (3, 3), Å, StructureTooLarge
    for one thinner or more skewed than the limits allow."""
    longest = float(np.abs(lattice).max())
    if not longest <= limits.max_cell_length:
        raise UnphysicalStructure(
            f"A cell vector is {longest:g} Å long; at most {limits.max_cell_length:g} Å are read. Is the unit Å?"
        )
    volume = cell_volume(lattice)
    if volume < limits.min_volume_per_atom * n_sites:
        raise UnphysicalStructure(
            f"The cell has {volume:.3g} Å³ for {n_sites} atom{'s' if n_sites > 1 else ''}; below "
            f"{limits.min_volume_per_atom:g} Å³ per atom no crystal is known. Are the cell lengths in Å?"
        )
    height = min(cell_heights(lattice))
    if box_volume(lattice) > limits.max_skew * volume or height < limits.min_height:
        raise StructureTooLarge("The cell is so thin or skewed that a search for neighbours takes long.")
    if height < limits.min_period:
        period = float(np.sqrt((reduced_lattice(lattice) ** 2).sum(axis=1).min()))
        if period < limits.min_period:
            raise UnphysicalStructure(
                f"The structure repeats itself every {period:.2g} Å; below {limits.min_period:g} Å no crystal does."
            )


def _site_name(crystal: Crystal, index: int) -> str:
    return f"{SYMBOLS[int(crystal.atomic_numbers[index])]} (number {index + 1})"


def _coincident_pair(crystal: Crystal, limits: StructureLimits) -> tuple[int, int, float] | None:
    """Two sites nearer than `limits.min_distance` across all periodic images, with their distance in Å."""
    if crystal.n_sites == 1:
        return None
    if crystal.n_sites <= DENSE_SITES and min(cell_heights(crystal.lattice)) > 2 * limits.min_distance:
        first, second, distance = _nearest_pair_dense(crystal)
    else:
        first, second, distance = _nearest_pair_listed(crystal)
    return (first, second, distance) if distance < limits.min_distance else None


def _nearest_pair_dense(crystal: Crystal) -> tuple[int, int, float]:
    """All pairs at once; right for pairs nearer than half the least height, whose nearest image rounding finds."""
    coordinates = crystal.fractional_coordinates
    difference = coordinates[:, None, :] - coordinates[None, :, :]
    difference -= np.rint(difference)
    cartesian = difference @ crystal.lattice
    squared = np.einsum("ijk,ijk->ij", cartesian, cartesian)
    squared.flat[:: crystal.n_sites + 1] = np.inf
    first, second = divmod(int(squared.argmin()), crystal.n_sites)
    return first, second, float(squared[first, second]) ** 0.5


def _nearest_pair_listed(crystal: Crystal) -> tuple[int, int, float]:
    """The nearest pair of different sites, by a cell list; an infinite distance where none is near.

    The list's cubes are as wide as its radius, so this must follow the density: smaller cubes are too many.
    """
    radius = _PAIR_RADIUS * (crystal.volume / crystal.n_sites) ** (1 / 3)
    first, second, _, distances = find_points_in_spheres(
        crystal.positions, crystal.positions, r=radius, pbc=_PERIODIC, lattice=crystal.lattice, tol=1e-8
    )
    between = np.where(first != second, distances, np.inf)
    closest = int(between.argmin())
    one, other = sorted((int(first[closest]), int(second[closest])))
    return one, other, float(between[closest])
