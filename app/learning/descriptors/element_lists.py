"""Compositions as padded arrays, so that descriptors of many are computed at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.structures.crystal import Crystal
from app.structures.elements import ATOMIC_NUMBERS
from app.structures.formula import Composition

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ElementLists:
    """Elements of n compositions, in order of atomic number, padded to the longest list of k.

    atomic_numbers  (n, k) int64, 0 where there is no element
    fractions       (n, k) float64, atomic fractions; rows sum to 1, 0 where there is no element
    """

    atomic_numbers: IntArray
    fractions: FloatArray

    @classmethod
    def of(cls, items: Sequence[Composition | Crystal]) -> "ElementLists":
        """A crystal counts its sites, so that a supercell gives the same row."""
        rows = [_elements(item) for item in items]
        width = max((len(numbers) for numbers, _ in rows), default=0)
        atomic_numbers = np.zeros((len(rows), width), dtype=np.int64)
        fractions = np.zeros((len(rows), width))
        for index, (numbers, amounts) in enumerate(rows):
            atomic_numbers[index, : len(numbers)] = numbers
            fractions[index, : len(numbers)] = amounts / amounts.sum()
        return cls(atomic_numbers, fractions)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Where there is an element, (n, k)."""
        return self.atomic_numbers > 0


def _elements(item: Composition | Crystal) -> tuple[IntArray, FloatArray]:
    if isinstance(item, Crystal):
        counts = np.bincount(item.atomic_numbers)
        numbers = np.flatnonzero(counts)
        return numbers, counts[numbers].astype(np.float64)
    pairs = sorted((ATOMIC_NUMBERS[symbol], amount) for symbol, amount in item.amounts.items())
    return np.array([z for z, _ in pairs]), np.array([amount for _, amount in pairs])
