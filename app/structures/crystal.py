"""The crystal: the one structure type between text formats and numerical code."""

from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
import numpy.typing as npt

from app.structures.elements import SYMBOLS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """An ordered periodic crystal, in arrays.

    Dimensions: N sites.
        lattice                 (3, 3) float64, rows are the cell vectors a, b, c in Å
        fractional_coordinates  (N, 3) float64, dimensionless
        atomic_numbers          (N,)   int64
        notes                   what the reader had to assume, for the user (e.g. "deuterium read as hydrogen")
    """

    lattice: FloatArray
    fractional_coordinates: FloatArray
    atomic_numbers: IntArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = self.atomic_numbers.shape[0]
        if self.lattice.shape != (3, 3) or self.fractional_coordinates.shape != (n, 3):
            raise ValueError("a Crystal needs a (3, 3) lattice and as many coordinates as atomic numbers")

    @property
    def n_sites(self) -> int:
        return int(self.atomic_numbers.shape[0])

    @cached_property
    def volume(self) -> float:
        """Cell volume in Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def positions(self) -> FloatArray:
        """Cartesian coordinates, (N, 3), Å."""
        return self.fractional_coordinates @ self.lattice

    @cached_property
    def element_counts(self) -> dict[str, int]:
        """Atoms of each element in the cell, keyed by symbol in alphabetical order."""
        counts = np.bincount(self.atomic_numbers)
        pairs = sorted((SYMBOLS[z], int(counts[z])) for z in counts.nonzero()[0].tolist())
        return dict(pairs)

    @cached_property
    def reduced_formula(self) -> str:
        """Formula with the smallest whole numbers, elements in alphabetical order, e.g. `O3SrTi`."""
        divisor = gcd(*self.element_counts.values())
        return "".join(f"{s}{c // divisor if c > divisor else ''}" for s, c in self.element_counts.items())
