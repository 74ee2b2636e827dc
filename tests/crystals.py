"""Crystals built in code, and the changes of description under which a prediction must not move."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from app.structures.crystal import Crystal, FloatArray
from app.structures.elements import ATOMIC_NUMBERS

FACE_CENTRES = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
FCC_VECTORS = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
BCC_VECTORS = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))


def crystal(
    lattice: npt.ArrayLike, species: Sequence[str], coordinates: Sequence[Sequence[float]] | FloatArray
) -> Crystal:
    """A Crystal from cell vectors (3, 3) in Å, symbols and fractional coordinates (N, 3)."""
    return Crystal(
        lattice=np.asarray(lattice, dtype=np.float64),
        fractional_coordinates=np.asarray(coordinates, dtype=np.float64).reshape(-1, 3),
        atomic_numbers=np.array([ATOMIC_NUMBERS[s] for s in species], dtype=np.int64),
    )


def hexagonal_lattice(a: float, c: float) -> FloatArray:
    """Cell vectors of a hexagonal cell, gamma = 120 degrees."""
    return np.array([[a, 0.0, 0.0], [-a / 2, a * np.sqrt(3) / 2, 0.0], [0.0, 0.0, c]])


def fcc(a: float, element: str) -> Crystal:
    """Face-centred cubic, one-atom primitive cell."""
    return crystal(a * np.array(FCC_VECTORS), [element], [[0, 0, 0]])


def bcc(a: float, element: str) -> Crystal:
    """Body-centred cubic, one-atom primitive cell."""
    return crystal(a * np.array(BCC_VECTORS), [element], [[0, 0, 0]])


def hcp(a: float, c: float, element: str) -> Crystal:
    """Hexagonal close packing, two atoms."""
    return crystal(hexagonal_lattice(a, c), [element] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])


def diamond(a: float, element: str) -> Crystal:
    """Diamond, two-atom primitive cell."""
    return crystal(a * np.array(FCC_VECTORS), [element] * 2, [[0, 0, 0], [0.25, 0.25, 0.25]])


def zincblende(a: float, cation: str, anion: str) -> Crystal:
    """Zinc blende, two-atom primitive cell."""
    return crystal(a * np.array(FCC_VECTORS), [cation, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


def rocksalt(a: float, cation: str, anion: str) -> Crystal:
    """Rock salt, conventional cell of eight atoms."""
    centres = np.array(FACE_CENTRES)
    return crystal(
        a * np.eye(3), [cation] * 4 + [anion] * 4, np.vstack([centres, (centres + np.array([0.5, 0, 0])) % 1])
    )


def cscl(a: float, cation: str, anion: str) -> Crystal:
    """Caesium chloride, two atoms."""
    return crystal(a * np.eye(3), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fluorite(a: float, cation: str, anion: str) -> Crystal:
    """Fluorite, three-atom primitive cell."""
    sites: list[list[float]] = [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]
    return crystal(a * np.array(FCC_VECTORS), [cation, anion, anion], sites)


def perovskite(a: float, a_site: str, b_site: str, anion: str) -> Crystal:
    """Cubic perovskite ABX3, five atoms."""
    sites: list[list[float]] = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return crystal(a * np.eye(3), [a_site, b_site, anion, anion, anion], sites)


def wurtzite(a: float, c: float, cation: str, anion: str, u: float = 0.375) -> Crystal:
    """Wurtzite, four atoms; `u` is the anion's height above the cation in units of c."""
    sites: list[list[float]] = [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]]
    return crystal(hexagonal_lattice(a, c), [cation, cation, anion, anion], sites)


def rutile(a: float, c: float, cation: str, anion: str, u: float = 0.305) -> Crystal:
    """Rutile, six atoms; the anions lie at ±(u, u, 0) and (1/2 + u, 1/2 - u, 1/2) and its inverse."""
    anions = [[u, u, 0], [1 - u, 1 - u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    sites: list[list[float]] = [[0, 0, 0], [0.5, 0.5, 0.5], *anions]
    return crystal(np.diag([a, a, c]), [cation] * 2 + [anion] * 4, sites)


COMPOUNDS: dict[str, Crystal] = {
    "NaCl": rocksalt(5.6402, "Na", "Cl"),
    "MgO": rocksalt(4.212, "Mg", "O"),
    "Si": diamond(5.431, "Si"),
    "C": diamond(3.567, "C"),
    "GaAs": zincblende(5.653, "Ga", "As"),
    "SrTiO3": perovskite(3.905, "Sr", "Ti", "O"),
    "CsCl": cscl(4.123, "Cs", "Cl"),
    "CaF2": fluorite(5.463, "Ca", "F"),
    "Cu": fcc(3.615, "Cu"),
    "Al": fcc(4.0495, "Al"),
    "Fe": bcc(2.866, "Fe"),
    "Mg": hcp(3.209, 5.211, "Mg"),
    "ZnO": wurtzite(3.250, 5.207, "Zn", "O", u=0.382),
    "TiO2": rutile(4.594, 2.959, "Ti", "O", u=0.305),
}
"""Named compounds at their measured room-temperature lattice constants (Å)."""


@dataclass(frozen=True)
class NearestNeighbours:
    """What a compound's first shell must be: distance in Å and number of neighbours, seen from its first site."""

    distance: float
    count: int


FIRST_SHELLS: dict[str, NearestNeighbours] = {
    "NaCl": NearestNeighbours(5.6402 / 2, 6),
    "MgO": NearestNeighbours(4.212 / 2, 6),
    "Si": NearestNeighbours(5.431 * np.sqrt(3) / 4, 4),
    "C": NearestNeighbours(3.567 * np.sqrt(3) / 4, 4),
    "GaAs": NearestNeighbours(5.653 * np.sqrt(3) / 4, 4),
    "SrTiO3": NearestNeighbours(3.905 / np.sqrt(2), 12),
    "CsCl": NearestNeighbours(4.123 * np.sqrt(3) / 2, 8),
    "CaF2": NearestNeighbours(5.463 * np.sqrt(3) / 4, 8),
    "Cu": NearestNeighbours(3.615 / np.sqrt(2), 12),
    "Al": NearestNeighbours(4.0495 / np.sqrt(2), 12),
    "Fe": NearestNeighbours(2.866 * np.sqrt(3) / 2, 8),
}


def supercell(source: Crystal, repeats: tuple[int, int, int]) -> Crystal:
    """The same crystal described by a cell repeated along its three vectors."""
    shifts = np.array(list(product(*(range(n) for n in repeats))), dtype=np.float64)
    scale = np.array(repeats, dtype=np.float64)
    coordinates = (source.fractional_coordinates[:, None, :] + shifts[None, :, :]) / scale
    return replace(
        source,
        lattice=source.lattice * scale[:, None],
        fractional_coordinates=coordinates.reshape(-1, 3),
        atomic_numbers=np.repeat(source.atomic_numbers, len(shifts)),
    )


def other_cell(source: Crystal, matrix: npt.ArrayLike = ((1, 1, 0), (0, 1, 1), (0, 0, 1))) -> Crystal:
    """The same crystal in another cell of equal volume: rows of `matrix` (integers, determinant ±1) combine a, b, c.

    Raises ValueError for a matrix that is not unimodular.
    """
    change = np.asarray(matrix, dtype=np.float64)
    if abs(abs(np.linalg.det(change)) - 1) > 1e-9 or not np.array_equal(change, change.round()):
        raise ValueError("the change of cell must be an integer matrix of determinant 1 or -1")
    coordinates = source.fractional_coordinates @ np.linalg.inv(change)
    return replace(source, lattice=change @ source.lattice, fractional_coordinates=coordinates % 1.0)


def permuted(source: Crystal, seed: int) -> Crystal:
    """The same crystal with its sites listed in another order."""
    order = np.random.default_rng(seed).permutation(source.n_sites)
    return replace(
        source,
        fractional_coordinates=source.fractional_coordinates[order],
        atomic_numbers=source.atomic_numbers[order],
    )


def rotated(source: Crystal, seed: int) -> Crystal:
    """The same crystal turned by a random proper rotation."""
    rotation, triangle = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    rotation = rotation * np.sign(np.diag(triangle))
    if np.linalg.det(rotation) < 0:
        rotation[:, 0] *= -1
    return replace(source, lattice=source.lattice @ rotation)


def translated(source: Crystal, vector: npt.ArrayLike) -> Crystal:
    """The same crystal with all sites shifted by a fractional vector (3,), wrapped into the cell."""
    shift = np.asarray(vector, dtype=np.float64)
    return replace(source, fractional_coordinates=(source.fractional_coordinates + shift) % 1.0)
