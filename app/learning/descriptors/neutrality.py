"""Whether a compound can be neutral with one common oxidation state of each element."""

import numpy as np
import numpy.typing as npt

from app.learning.descriptors.element_table import element_table

FloatArray = npt.NDArray[np.float64]

_NEUTRAL = 1e-8
"""Elementary charges per atom."""
_MAX_SUMS = 100_000
_COARSE = 1e-5
"""Elementary charges per atom: how finely charges are told apart where there are more sums than that."""


def can_be_neutral(atomic_numbers: npt.NDArray[np.int64], fractions: FloatArray) -> bool:
    """True for a pure element; entries with atomic number 0 do not count.

    Sums of charges are built element by element and those that the rest cannot balance are dropped, so that a
    composition of many elements costs no more than one of few.
    """
    here = atomic_numbers > 0
    charges = [
        np.array(element_table().oxidation_states[z], dtype=np.float64) * fraction
        for z, fraction in zip(atomic_numbers[here].tolist(), fractions[here].tolist(), strict=True)
    ]
    if len(charges) == 1:
        return True
    if any(states.size == 0 for states in charges):
        return False
    lowest_left = np.cumsum([states.min() for states in charges][::-1])[::-1]
    highest_left = np.cumsum([states.max() for states in charges][::-1])[::-1]
    sums = np.zeros(1)
    for index, states in enumerate(charges):
        last = index + 1 == len(charges)
        low, high = (0.0, 0.0) if last else (lowest_left[index + 1], highest_left[index + 1])
        sums = (sums[:, None] + states).ravel()
        sums = _distinct(sums[(sums + low <= _NEUTRAL) & (sums + high >= -_NEUTRAL)])
    return sums.size > 0


def _distinct(sums: FloatArray) -> FloatArray:
    kept = sums[np.unique(np.round(sums / (0.1 * _NEUTRAL)), return_index=True)[1]]
    if kept.size > _MAX_SUMS:
        kept = kept[np.unique(np.round(kept / _COARSE), return_index=True)[1]]
    return kept
