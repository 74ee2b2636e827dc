"""What to measure next: candidates ranked by what their labels are expected to be worth to a model.

`uncertainty`: largest expected error. `diversity`: farthest from the training rows and from what was picked before
(greedy k-centre; Sener & Savarese 2018, arXiv 1708.00489). `batch`: both, with regard to how many candidates each pick
speaks for (largest cluster, maximum distance; Holzmüller et al. 2023, JMLR 24, 164; here distances are weighted by the
expected error). `target`: what is likeliest to meet a target, or to improve on the best training label.
"""

from dataclasses import dataclass

import numpy as np

from app.learning.acquisition.cover import Centre, Cover
from app.learning.acquisition.pool import Pool
from app.learning.acquisition.strategy import Strategy
from app.learning.acquisition.target import Target, margins, promise
from app.learning.trust.places import FloatArray


@dataclass(frozen=True, slots=True)
class Pick:
    """A suggested candidate.

    `score`, by strategy: the expected absolute error on the scale the model learns; the distance to `nearest`; by how
    much the pick makes the sum of the candidates' squared (expected error x distance) smaller, as a share of that sum
    before the first pick; the probability, or the expected improvement on the learned scale. `speaks_for` is the
    number of candidates, itself among them, that are nearer to it than to any labelled or earlier picked row.
    """

    candidate: int
    score: float
    nearest: Centre | None = None
    speaks_for: int | None = None


def suggest(pool: Pool, strategy: Strategy, k: int, target: Target | None = None) -> list[Pick]:
    """The k best candidates (all, when there are fewer), best first; of equals the earlier candidate.

    `target` is what `Strategy.TARGET` needs; the others have no use for it.
    """
    k = min(k, len(pool))
    if strategy is Strategy.DIVERSITY:
        return farthest(pool, k)
    if strategy is Strategy.BATCH:
        return representatives(pool, pool.expected_errors, k)
    if strategy is Strategy.TARGET:
        if target is None:
            raise ValueError("a target is needed")
        return _best(promise(pool, target), margins(pool, target), k)
    # Where the model knows no difference in difficulty, what is unlike its training data comes first.
    return _best(pool.expected_errors, pool.novelty, k)


def farthest(pool: Pool, k: int) -> list[Pick]:
    """Greedy k-centre: each pick is as far as can be from the reference rows and the picks before it."""
    cover = Cover(pool)
    picks = []
    for _ in range(k):
        candidate = int(np.where(cover.is_added, -1.0, cover.distances).argmax())
        nearest = cover.nearest(candidate)
        picks.append(Pick(candidate, nearest.distance, nearest, cover.add(candidate)))
    return picks


def representatives(pool: Pool, weights: FloatArray, k: int) -> list[Pick]:
    """Each pick is the worst covered candidate of the worst covered cluster.

    A cluster holds the candidates nearest to one centre; how badly a candidate is covered is the square of its weight
    (N,) times its distance from there.
    """
    cover = Cover(pool)
    uncovered = (weights * cover.distances) ** 2
    total = float(uncovered.sum())
    picks = []
    for _ in range(k):
        open_clusters = np.bincount(cover.centres[~cover.is_added], weights=uncovered[~cover.is_added])
        members = np.flatnonzero((cover.centres == open_clusters.argmax()) & ~cover.is_added)
        if not len(members):  # what is left lies on top of centres
            members = np.flatnonzero(~cover.is_added)
        candidate = int(members[uncovered[members].argmax()])
        nearest = cover.nearest(candidate)
        speaks_for = cover.add(candidate)
        before, uncovered = float(uncovered.sum()), (weights * cover.distances) ** 2
        gain = (before - float(uncovered.sum())) / total if total > 0 else 0.0
        picks.append(Pick(candidate, gain, nearest, speaks_for))
    return picks


def _best(scores: FloatArray, then: FloatArray, k: int) -> list[Pick]:
    """By score, of equals by `then`, then by place."""
    order = np.lexsort((np.arange(len(scores)), -then, -scores))[:k]
    return [Pick(int(candidate), float(scores[candidate])) for candidate in order]
