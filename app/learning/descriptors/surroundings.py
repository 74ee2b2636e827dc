"""All atoms around each atom of a crystal within a radius, as vectors."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pymatgen.optimization.neighbors import find_points_in_spheres

from app.core.errors import StructureTooLarge, UnphysicalStructure
from app.structures.crystal import Crystal
from app.structures.geometry import cell_heights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SAME_POINT = 1e-8
"""Å. Nearer than this is the atom itself."""

_MAX_PAIRS = 500_000
_MAX_IMAGES = 2_000_000
_PERIODIC = np.ones(3, dtype=np.int64)


class Surroundings(NamedTuple):
    """Directed pairs of atoms, the centres ascending.

    centre, neighbour  (E,) int64
    vectors            (E, 3) float64, Å, from the centre to the neighbour
    distances          (E,) float64, Å
    """

    centre: IntArray
    neighbour: IntArray
    vectors: FloatArray
    distances: FloatArray


def find_surroundings(crystal: Crystal, radius: float) -> Surroundings:
    """All pairs within `radius` (Å), each atom itself (distance 0) among them.

    Raises StructureTooLarge and UnphysicalStructure before anything large is made.
    """
    n_pairs = crystal.n_sites**2 / crystal.volume * 4 / 3 * np.pi * radius**3
    if n_pairs > _MAX_PAIRS:
        raise StructureTooLarge(
            f"{crystal.n_sites} atoms in {crystal.volume:.4g} Å³ have about {n_pairs:.3g} neighbours within "
            f"{radius:.3g} Å; at most {_MAX_PAIRS} can be described."
        )
    heights = cell_heights(crystal.lattice)
    n_images = crystal.n_sites * float(np.prod([2.0 * np.ceil(radius / height) + 1.0 for height in heights]))
    if n_images > _MAX_IMAGES:
        raise UnphysicalStructure(
            f"The cell has a height of only {min(heights):.3g} Å: its neighbourhood would hold {n_images:.3g} atoms."
        )
    lattice = np.ascontiguousarray(crystal.lattice)
    positions = crystal.fractional_coordinates % 1.0 @ lattice
    centre, neighbour, images, distances = find_points_in_spheres(
        positions, positions, r=radius, pbc=_PERIODIC, lattice=lattice, tol=SAME_POINT
    )
    vectors = positions[neighbour] + images @ lattice - positions[centre]
    return Surroundings(centre, neighbour, vectors, distances)
