"""How a value is distributed about its prediction, from the errors that the model is known to make.

Errors are taken to go up as often as down. Their sizes are difficulty times the conformity scores of the model, on the
scale the model learns; values are cut at the physical bounds of the property.

Where many labels lie on a bound, as the gaps of metals do, the smallest scores are those of inputs that are predicted
there and lie there. Other predictions are not among them: of their distribution these scores are left out, as many as
there are such labels among the reference rows (an approximation to scores kept apart by prediction, which is Mondrian
conformal prediction; Vovk, Gammerman & Shafer 2005). Dimensions: N predictions, M scores.
"""

import operator
from collections.abc import Iterator

import numpy as np

from app.learning.targets import apply_transform, invert_transform
from app.learning.trust.assessment import Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.places import FloatArray, IntArray
from app.properties.catalogue import Transform

_N_QUANTILES = 200
_ROWS_AT_ONCE = 4096
_ON_BOUND = 1e-3
"""Of the unit: such labels lie on the bound."""
_NEAR = 0.5
"""Difficulties from a bound within which a prediction may be one of those that lie on it."""
_MOST_LEFT_OUT = 0.9


def score_quantiles(table: ScoreTable, left_out: float = 0.0) -> FloatArray:
    """Absolute errors over difficulties at evenly spaced levels, sorted, (M,), but for that share of the smallest.

    The largest that was seen stands for what is beyond it.
    """
    levels = left_out + (1.0 - left_out) * (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    rows = np.minimum(np.searchsorted(table.shares, levels), len(table.scores) - 1)
    return np.asarray(table.scores[rows].astype(np.float64))


def share_on_bounds(trust: Trust) -> float:
    """Share of the labels of the reference rows that lie on a physical bound."""
    labels = trust.reference.labels
    on_bounds = (labels <= trust.lower + _ON_BOUND) | (labels >= trust.upper - _ON_BOUND)
    return float(on_bounds.mean()) if len(labels) else 0.0


def share_below(trust: Trust, learned: FloatArray, difficulties: FloatArray, bound: float) -> FloatArray:
    """Probability that labels lie below a bound, (N,); predictions and bound on the scale the model learns.

    Never nearer to 0 and 1 than the rows that tell of errors can show: few have not seen the largest.
    """
    found = np.empty(len(learned))
    for rows, scores in _scores_of(trust, learned, difficulties):
        away = (bound - learned[rows]) / difficulties[rows]
        within = np.searchsorted(scores, np.abs(away)) / len(scores)
        within = np.minimum(within, trust.scores.highest_level)
        found[rows] = 0.5 + 0.5 * np.sign(away) * within
    return found


def _scores_of(trust: Trust, learned: FloatArray, difficulties: FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    """Rows and the scores that tell of them; every row once."""
    left_out = min(share_on_bounds(trust), _MOST_LEFT_OUT) if trust.transform is Transform.IDENTITY else 0.0
    from_bound = np.minimum(learned - trust.lower, trust.upper - learned)
    is_near = from_bound <= _NEAR * difficulties if left_out else np.ones(len(learned), dtype=bool)
    yield np.flatnonzero(is_near), score_quantiles(trust.scores)
    if left_out:
        yield np.flatnonzero(~is_near), score_quantiles(trust.scores, left_out)


def probability_within(
    trust: Trust,
    values: FloatArray,
    difficulties: FloatArray,
    at_least: float | None,
    at_most: float | None,
    strictly: bool = False,
) -> FloatArray:
    """Probability that the true values keep both bounds, in the unit, (N,), from predictions in the unit (N,).

    `strictly`: a value on a bound does not keep it. It matters where labels lie on a physical bound, as gaps of 0 do.
    """
    beyond = operator.ge if strictly else operator.gt
    learned = apply_transform(values, trust.transform)
    found = np.ones(len(values))
    if at_least is not None and beyond(at_least, trust.upper):
        return np.zeros(len(values))
    if at_most is not None and (beyond(trust.lower, at_most) or learned_bound(trust, at_most) == -np.inf):
        return np.zeros(len(values))
    if at_least is not None and beyond(at_least, trust.lower) and learned_bound(trust, at_least) > -np.inf:
        found -= share_below(trust, learned, difficulties, learned_bound(trust, at_least))
    if at_most is not None and beyond(trust.upper, at_most):
        found -= 1.0 - share_below(trust, learned, difficulties, learned_bound(trust, at_most))
    return np.clip(found, 0.0, 1.0)


def expected_value(
    trust: Trust, values: FloatArray, difficulties: FloatArray, target: float | None = None
) -> FloatArray:
    """Mean of the true values, or of their distance from `target`, in the unit, (N,)."""
    learned = apply_transform(values, trust.transform)
    found = np.empty(len(values))
    for rows, scores in _scores_of(trust, learned, difficulties):
        errors = np.concatenate([-scores, scores])
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            spread = invert_transform(learned[part, None] + difficulties[part, None] * errors, trust.transform)
            spread = np.clip(spread, trust.lower, trust.upper)
            found[part] = (spread if target is None else np.abs(spread - target)).mean(axis=1)
    return found


def learned_bound(trust: Trust, value: float) -> float:
    """A bound in the unit on the scale the model learns; -inf where no value lies below it."""
    if trust.transform is Transform.LOG10 and value <= 0:
        return -np.inf
    return float(apply_transform(np.array([value]), trust.transform)[0])
