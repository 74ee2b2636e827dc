"""How large a cell is after its elements were exchanged.

Every length grows with the sum of the radii of neighbours: s = sum over contacts of (r_i' + r_j') / sum of (r_i + r_j).
Radii are Shannon's for the oxidation states (Acta Cryst. A 32, 751, 1976; pymatgen's table) where both compounds are
ionic and all are tabulated, else covalent ones (Cordero et al., Dalton Trans. 2832, 2008; matminer's table).
"""

from collections.abc import Mapping
from functools import cache

import numpy as np

from app.learning.descriptors.element_table import element_table
from app.structures.crystal import Crystal, FloatArray, IntArray
from app.structures.elements import SYMBOLS

_CONTACT = 1.15
"""Atoms are neighbours of one up to that many times the distance of its nearest."""
_PICOMETRES = 0.01

Charges = Mapping[int, int]
"""Charge by atomic number."""


class CellScale:
    """Of one structure with its own elements and charges (None: not ionic): the factor for others."""

    def __init__(self, crystal: Crystal, charges: Charges | None) -> None:
        self._pairs = _contacts(crystal)
        self._numbers = crystal.atomic_numbers
        self._charges = charges

    def factor(self, replaced: Mapping[int, int], charges: Charges | None) -> float:
        """By how much lengths grow when elements are `replaced`, by atomic number, and then have these charges."""
        new = np.array([replaced.get(z, z) for z in self._numbers.tolist()], dtype=np.int64)
        before, after = _ionic(self._numbers, self._charges), _ionic(new, charges)
        if before is None or after is None:
            before, after = _covalent(self._numbers), _covalent(new)
        first, second = self._pairs
        return float((after[first] + after[second]).sum() / (before[first] + before[second]).sum())


def _contacts(crystal: Crystal) -> tuple[IntArray, IntArray]:
    """Pairs of neighbours, each a pair of sites; images count."""
    shifts = np.array(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij")).reshape(3, -1).T
    positions = crystal.positions
    images = (positions[None, :, :] + (shifts @ crystal.lattice)[:, None, :]).reshape(-1, 3)
    distances = np.linalg.norm(positions[:, None, :] - images[None, :, :], axis=2)
    distances[distances < 1e-6] = np.inf
    first, second = np.nonzero(distances <= _CONTACT * distances.min(axis=1, keepdims=True))
    return first, second % crystal.n_sites


def _ionic(numbers: IntArray, charges: Charges | None) -> FloatArray | None:
    if charges is None:
        return None
    radii = [_ionic_radius(z, charges[z]) for z in numbers.tolist()]
    return None if None in radii else np.array(radii, dtype=np.float64)


def _covalent(numbers: IntArray) -> FloatArray:
    table = element_table()
    return np.asarray(table.values[numbers, table.names.index("CovalentRadius")] * _PICOMETRES)


@cache
def _ionic_radius(z: int, charge: int) -> float | None:
    from pymatgen.core.periodic_table import Element

    radii = {round(state): float(radius) for state, radius in Element(SYMBOLS[z]).ionic_radii.items()}
    return radii.get(charge)
