"""Quantiles of conformity scores, such that intervals hold at least the share of new values that they say.

Scores are |residual| / difficulty on rows that neither trained the model nor chose its epoch. Rows of one formula
(polymorphs) resemble each other, so formulas, not rows, are taken to be exchangeable: each formula weighs the same, as
does the new one, which may be anything (hierarchical conformal prediction; Lee, Barber & Willett 2023, arXiv
2306.06342; Dunn, Wasserman & Ramdas 2022). With one row per formula this is split conformal prediction with its
quantile ceil((n + 1) level) / n (Vovk, Gammerman & Shafer 2005; Lei et al. 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-9
"""Of sums of shares: 9 rows are enough for a level of 0.9."""


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """Sorted scores (n,) and the share of weight up to each, (n,); the new formula's own share is beyond the last."""

    scores: npt.NDArray[np.float32]
    shares: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, groups: Sequence[str]) -> "ScoreTable":
        """From scores (n,) of rows that belong to `groups` (n,), at least one row."""
        _, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
        weights = 1.0 / counts[inverse]
        order = np.argsort(scores, kind="stable")
        shares = np.cumsum(weights[order]) / (len(counts) + 1)
        return cls(scores[order].astype(np.float32), shares)

    @property
    def highest_level(self) -> float:
        """G / (G + 1) for G formulas: beyond it only an interval without end would hold what it says."""
        return float(self.shares[-1]) if len(self.shares) else 0.0

    def quantile(self, level: float) -> float | None:
        """The score that a share `level` of new rows does not exceed; None beyond `highest_level`."""
        place = int(np.searchsorted(self.shares, level - _ROUNDING))
        return float(self.scores[place]) if place < len(self.scores) else None
