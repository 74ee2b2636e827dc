"""Numbers over trials: spread, paired test, and the data that a transfer is worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation (NaN of a single value) of n values."""

    mean: float
    std: float
    n: int


def spread(values: Sequence[float] | FloatArray) -> Spread:
    """Raises ValueError for no values."""
    if len(values) == 0:
        raise ValueError("there is no value to take the mean of")
    array = np.asarray(values, dtype=np.float64)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else float("nan"), len(array))


def paired_p(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p-value of a paired t-test; the values at one place are of one trial. None for fewer than two pairs.

    Pairs that all differ by the same amount leave nothing to test with: 1 where that is nothing, else 0.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if len(difference) < 2:
        return None
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 0.0
    return float(stats.ttest_rel(first, second).pvalue)


def equivalent_size(sizes: Sequence[float], errors: Sequence[float], error: float) -> float | None:
    """Training rows at which the line through log(size), log(error) (least squares) comes to `error`.

    Lee & Asahi 2021, Table 2. None with fewer than two different sizes, or errors that do not fall with them.
    """
    if len(set(sizes)) < 2:
        return None
    slope, intercept = np.polyfit(np.log10(sizes), np.log10(errors), 1)
    if slope >= 0:
        return None
    return float(10 ** ((np.log10(error) - intercept) / slope))


def gain(transfer: float, scratch: float) -> float:
    """Share of the error, in per cent, that transfer takes away; negative where it adds."""
    return 100.0 * (1.0 - transfer / scratch)
