"""How likely a candidate is to be what is looked for, from its prediction and the errors the model is known to make.

Errors are taken to go up as often as down; their sizes are difficulty times the conformity scores of the model.
"""

from dataclasses import dataclass

import numpy as np

from app.learning.acquisition.pool import Pool
from app.learning.acquisition.strategy import Optimum
from app.learning.trust.distribution import learned_bound, probability_within
from app.learning.trust.places import FloatArray


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
    return probability_within(pool.trust, pool.values, pool.difficulties, target.above, target.below, strictly=True)


def improvements(pool: Pool, optimum: Optimum) -> FloatArray:
    """Expected improvement on the best label of the reference rows, on the scale the model learns, (N,).

    Jones, Schonlau & Welch 1998, J. Glob. Optim. 13, 455, with the model's own distribution of errors, cut at the
    property's physical bounds.
    """
    sign = 1.0 if optimum is Optimum.HIGHEST else -1.0
    best = float((sign * pool.trust.reference.transformed).max())
    lower, upper = learned_bound(pool.trust, pool.trust.lower), learned_bound(pool.trust, pool.trust.upper)
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
        sides = np.minimum(sides, (pool.learned - learned_bound(pool.trust, target.above)) / pool.difficulties)
    if target.below is not None:
        sides = np.minimum(sides, (learned_bound(pool.trust, target.below) - pool.learned) / pool.difficulties)
    return sides
