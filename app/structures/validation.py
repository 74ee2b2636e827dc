"""What every reader asks of a crystal before it is handed on."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from app.core.errors import (
    CoincidentAtoms,
    NoAtoms,
    StructureTooLarge,
    UnphysicalStructure,
    UnsupportedElement,
)
from app.structures.crystal import Crystal, FloatArray, IntArray
from app.structures.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from app.structures.geometry import cell_heights, cell_volume, reduced_lattice
from app.structures.limits import DEFAULT_LIMITS, StructureLimits

DENSE_SITES = 64
"""Up to so many sites all pairs at once are faster than a tree."""

CROWD = 32
"""Neighbours looked at within the least distance: so many cannot be there without two of them being too close."""

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
    """Raise UnphysicalStructure for a flat, crowded, overlong or too finely repeating cell (3, 3), Å."""
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
    if min(cell_heights(lattice)) < limits.min_period:
        period = float(np.sqrt((reduced_lattice(lattice) ** 2).sum(axis=1).min()))
        if period < limits.min_period:
            raise UnphysicalStructure(
                f"The structure repeats itself every {period:.2g} Å; below {limits.min_period:g} Å no crystal does."
            )


def _site_name(crystal: Crystal, index: int) -> str:
    return f"{SYMBOLS[int(crystal.atomic_numbers[index])]} (number {index + 1})"


def _coincident_pair(crystal: Crystal, limits: StructureLimits) -> tuple[int, int, float] | None:
    """Two sites nearer than `limits.min_distance` across all periodic images, with their distance in Å."""
    lattice, coordinates, n_sites = crystal.lattice, crystal.fractional_coordinates, crystal.n_sites
    if n_sites == 1:
        return None
    heights = cell_heights(lattice)
    if min(heights) <= 2 * limits.min_distance:
        lattice = reduced_lattice(lattice)
        coordinates = crystal.positions @ np.linalg.inv(lattice)
        heights = cell_heights(lattice)
        lattice, coordinates = _thickened(lattice, coordinates, heights, 2 * limits.min_distance)
        heights = cell_heights(lattice)
    if len(coordinates) <= DENSE_SITES:
        return _nearest_pair_dense(lattice, coordinates, n_sites, limits.min_distance)
    return _nearest_pair_tree(lattice, coordinates, heights, n_sites, limits.min_distance)


def _thickened(
    lattice: FloatArray, coordinates: FloatArray, heights: Sequence[float], height: float
) -> tuple[FloatArray, FloatArray]:
    """The cell repeated along its thin directions until each is above `height`; copies follow the sites in blocks."""
    for axis in range(3):
        repeats = int(height / heights[axis]) + 1
        if repeats > 1:
            lattice = lattice.copy()
            lattice[axis] *= repeats
            blocks = []
            for shift in range(repeats):
                block = coordinates.copy()
                block[:, axis] = (block[:, axis] + shift) / repeats
                blocks.append(block)
            coordinates = np.concatenate(blocks)
    return lattice, coordinates


def _nearest_pair_dense(
    lattice: FloatArray, coordinates: FloatArray, n_sites: int, min_distance: float
) -> tuple[int, int, float] | None:
    """All pairs at once. Rounding finds the nearest image of any pair this close, as no height is below 2 distances."""
    difference = coordinates[:, None, :] - coordinates[None, :, :]
    difference -= np.round(difference)
    cartesian = difference @ lattice
    squared = np.einsum("ijk,ijk->ij", cartesian, cartesian)
    np.fill_diagonal(squared, np.inf)
    nearest = int(squared.argmin())
    distance = float(squared.flat[nearest]) ** 0.5
    if distance >= min_distance:
        return None
    first, second = sorted(index % n_sites for index in divmod(nearest, len(coordinates)))
    return first, second, distance


def _nearest_pair_tree(
    lattice: FloatArray, coordinates: FloatArray, heights: Sequence[float], n_sites: int, min_distance: float
) -> tuple[int, int, float] | None:
    """Pairs from a periodic tree over coordinates x heights: along no axis are they farther apart than in space."""
    wrapped = coordinates % 1.0
    wrapped[wrapped >= 1.0] = 0.0
    box = np.array(heights)
    tree = cKDTree(np.minimum(wrapped * box, np.nextafter(box, 0.0)), boxsize=box)
    reached, found = tree.query(tree.data, k=CROWD, p=np.inf, distance_upper_bound=min_distance)
    rows, columns = np.nonzero(np.isfinite(reached))
    pairs = np.stack([rows, found[rows, columns]], axis=1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if len(pairs) == 0:
        return None
    difference = coordinates[pairs[:, 0]] - coordinates[pairs[:, 1]]
    distances = np.linalg.norm((difference - np.round(difference)) @ lattice, axis=1)
    closest = int(distances.argmin())
    if distances[closest] >= min_distance:
        return None
    first, second = sorted(int(index) % n_sites for index in pairs[closest])
    return first, second, float(distances[closest])
