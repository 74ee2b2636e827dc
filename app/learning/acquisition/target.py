"""How likely a candidate is to be what is looked for, from its prediction and the errors the model is known to make.

Errors are taken to go up as often as down; their sizes are difficulty times the conformity scores of the model.
"""

from dataclasses import dataclass

import numpy as np

from app.learning.acquisition.pool import Pool
from app.learning.acquisition.strategy import Optimum
from app.learning.targets import apply_transform
from app.learning.trust.distribution import share_below
from app.learning.trust.places import FloatArray
from app.properties.catalogue import Transform


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of the property, in its unit: more than `above`, less than `below`, both, or an optimum."""

    above: float | None = None
    below: float | None = None
    optimum: Optimum | None = None


def promise(pool: Pool, target: Target) -> FloatArray:
    """What candidates are ranked by, (N,): the expected improvement for an optimum, else the probability."""
    if target.optimum is not None:
        return improvements(pool, target.optimum)
    return probabilities(pool, target)


def probabilities(pool: Pool, target: Target) -> FloatArray:
    """That labels, which lie within the physical bounds, meet those of a target, (N,)."""
    trust, found = pool.trust, np.ones(len(pool))
    if target.above is not None and target.above >= trust.upper:
        return np.zeros(len(pool))
    if target.below is not None and target.below <= trust.lower:
        return np.zeros(len(pool))
    if target.above is not None and target.above >= trust.lower:
        found -= _below(pool, _learned(pool, target.above))
    if target.below is not None and target.below <= trust.upper:
        found -= 1.0 - _below(pool, _learned(pool, target.below))
    return np.clip(found, 0.0, 1.0)


def improvements(pool: Pool, optimum: Optimum) -> FloatArray:
    """Expected improvement on the best label of the reference rows, on the scale the model learns, (N,).

    Jones, Schonlau & Welch 1998, J. Glob. Optim. 13, 455, with the model's own distribution of errors, cut at the
    property's physical bounds.
    """
    sign = 1.0 if optimum is Optimum.HIGHEST else -1.0
    best = float((sign * pool.trust.reference.transformed).max())
    lower, upper = _learned(pool, pool.trust.lower), _learned(pool, pool.trust.upper)
    reach = pool.difficulties[:, None] * pool.scores
    ends = (np.clip(pool.learned[:, None] + side * reach, lower, upper) for side in (1.0, -1.0))
    excess = sum(np.maximum(sign * end - best, 0.0) for end in ends)
    return np.asarray(np.mean(excess, axis=1) / 2.0)


def margins(pool: Pool, target: Target) -> FloatArray:
    """How far predictions are on the right side of the target, (N,): it tells those of equal promise apart."""
    if target.optimum is not None:
        return pool.learned if target.optimum is Optimum.HIGHEST else -pool.learned
    sides = np.full(len(pool), np.inf)
    if target.above is not None:
        sides = np.minimum(sides, (pool.learned - _learned(pool, target.above)) / pool.difficulties)
    if target.below is not None:
        sides = np.minimum(sides, (_learned(pool, target.below) - pool.learned) / pool.difficulties)
    return sides


def _below(pool: Pool, bound: float) -> FloatArray:
    """Probability that labels lie below a bound on the learned scale, (N,)."""
    return share_below(pool.trust, pool.learned, pool.difficulties, bound)


def _learned(pool: Pool, value: float) -> float:
    if pool.trust.transform is Transform.LOG10 and value <= 0:
        return -np.inf
    return float(apply_transform(np.array([value]), pool.trust.transform)[0])
