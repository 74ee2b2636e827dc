"""What a comparison of entrants over the same folds can show, and what it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIGNIFICANT = 0.05


def fold_errors(errors: FloatArray, fold_of: IntArray) -> FloatArray:
    """Mean of the absolute errors (n,) in each fold, (K,)."""
    return np.array([errors[fold_of == fold].mean() for fold in np.unique(fold_of)])


def corrected_p_value(first: FloatArray, second: FloatArray) -> float:
    """Two-sided p of the hypothesis that two entrants with these errors in each of K folds, (K,), are equally good.

    The corrected resampled t-test (Nadeau & Bengio, Mach. Learn. 52 (2003) 239): training parts overlap, so the plain
    paired t-test finds differences where there are none.
    """
    differences = first - second
    n_folds = differences.shape[0]
    spread = float(differences.std(ddof=1))
    if spread == 0.0:
        return 1.0 if float(differences.mean()) == 0.0 else 0.0
    correction = 1.0 / n_folds + 1.0 / (n_folds - 1)
    t = float(differences.mean()) / (spread * np.sqrt(correction))
    return float(2.0 * stats.t.sf(abs(t), n_folds - 1))


def row_p_value(first: FloatArray, second: FloatArray, groups: Sequence[str]) -> float:
    """Two-sided p of the same hypothesis from the errors (n,) of the single rows, rows of one group taken together.

    Wilcoxon's signed-rank test: it asks on how many formulas one is better and by what rank, so a few large errors
    cannot decide, and there are hundreds of pairs where there are five folds. It is asked on the side of whoever has
    the smaller mean error: ranks that speak for the other one are no evidence, and p is then above one half.
    """
    _, members = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(members)
    differences = np.bincount(members, weights=first - second) / counts
    if not np.any(differences):
        return 1.0
    side = "less" if float((first - second).mean()) < 0 else "greater"
    return min(1.0, 2.0 * float(stats.wilcoxon(differences, alternative=side).pvalue))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One entrant against another: `gain` is the share of the other's error that it saves, negative if it is worse."""

    name: str
    other: str
    gain: float
    p_folds: float
    p_rows: float

    @property
    def is_better(self) -> bool:
        """Outside of noise, each formula counted once; folds are too few to decide."""
        return self.gain > 0 and self.p_rows < SIGNIFICANT

    @property
    def text(self) -> str:
        what = "better" if self.gain > 0 else "worse"
        noise = "" if self.p_rows < SIGNIFICANT else ", within noise"
        return (
            f"{self.name} is {abs(self.gain):.1%} {what} than {self.other} (p = {self.p_rows:.2g} over formulas, "
            f"{self.p_folds:.2g} over folds){noise}"
        )


def compare(
    name: str, errors: FloatArray, other: str, other_errors: FloatArray, fold_of: IntArray, groups: Sequence[str]
) -> Comparison:
    """Absolute errors (n,) of two entrants on the same rows."""
    means = fold_errors(errors, fold_of), fold_errors(other_errors, fold_of)
    mean, other_mean = float(errors.mean()), float(other_errors.mean())
    gain = 1.0 - mean / other_mean if other_mean > 0 else 0.0
    return Comparison(name, other, gain, corrected_p_value(*means), row_p_value(errors, other_errors, groups))
