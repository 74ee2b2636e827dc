"""A composition: amounts of elements, without a structure."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.structures.elements import ATOMIC_NUMBERS, MAX_ATOMIC_NUMBER


@dataclass(frozen=True)
class Composition:
    """Amounts per formula unit, keyed by symbol; all amounts are positive and finite."""

    amounts: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """The composition in alphabetical order with its amounts as given, e.g. `O3SrTi`."""
        return "".join(f"{s}{'' if a == 1 else format(a, 'g')}" for s, a in sorted(self.amounts.items()))

    def fractions(self) -> npt.NDArray[np.float64]:
        """Atomic fractions, (101,) float64, index = atomic number, sums to 1."""
        vector = np.zeros(MAX_ATOMIC_NUMBER + 1)
        for symbol, amount in self.amounts.items():
            vector[ATOMIC_NUMBERS[symbol]] = amount
        vector /= vector.sum()
        return vector
