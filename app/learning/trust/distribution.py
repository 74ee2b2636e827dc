"""How a value is distributed about its prediction, from the errors that the model is known to make.

Errors are taken to go up as often as down. Their sizes are difficulty times the conformity scores of the model, on the
scale the model learns; values are cut at the physical bounds of the property. Dimensions: N predictions, M scores.
"""

import numpy as np

from app.learning.targets import apply_transform, invert_transform
from app.learning.trust.assessment import Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.places import FloatArray
from app.properties.catalogue import Transform

_N_QUANTILES = 200
_ROWS_AT_ONCE = 4096


def score_quantiles(table: ScoreTable) -> FloatArray:
    """Absolute errors over difficulties at evenly spaced levels, sorted, (M,).

    The largest that was seen stands for what is beyond it.
    """
    levels = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    rows = np.minimum(np.searchsorted(table.shares, levels), len(table.scores) - 1)
    return np.asarray(table.scores[rows].astype(np.float64))


def share_below(learned: FloatArray, difficulties: FloatArray, scores: FloatArray, bound: float) -> FloatArray:
    """Probability that labels lie below a bound, (N,); predictions and bound on the scale the model learns."""
    away = (bound - learned) / difficulties
    within = np.searchsorted(scores, np.abs(away)) / len(scores)
    return np.asarray(0.5 + 0.5 * np.sign(away) * within)


def probability_within(
    trust: Trust, values: FloatArray, difficulties: FloatArray, at_least: float | None, at_most: float | None
) -> FloatArray:
    """Probability that the true values keep both bounds, in the unit, (N,), from predictions in the unit (N,)."""
    learned, scores = apply_transform(values, trust.transform), score_quantiles(trust.scores)
    found = np.ones(len(values))
    if at_least is not None and at_least > trust.lower:
        found -= share_below(learned, difficulties, scores, _learned(trust, at_least))
    if at_most is not None and (at_most < trust.lower or (at_most <= 0 and trust.transform is Transform.LOG10)):
        return np.zeros(len(values))
    if at_most is not None and at_most < trust.upper:
        found -= 1.0 - share_below(learned, difficulties, scores, _learned(trust, at_most))
    return np.clip(found, 0.0, 1.0)


def expected_value(
    trust: Trust, values: FloatArray, difficulties: FloatArray, target: float | None = None
) -> FloatArray:
    """Mean of the true values, or of their distance from `target`, in the unit, (N,)."""
    learned, scores = apply_transform(values, trust.transform), score_quantiles(trust.scores)
    errors = np.concatenate([-scores, scores])
    found = np.empty(len(values))
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        spread = invert_transform(learned[rows, None] + difficulties[rows, None] * errors, trust.transform)
        spread = np.clip(spread, trust.lower, trust.upper)
        found[rows] = (spread if target is None else np.abs(spread - target)).mean(axis=1)
    return found


def _learned(trust: Trust, value: float) -> float:
    return float(apply_transform(np.array([value]), trust.transform)[0])
