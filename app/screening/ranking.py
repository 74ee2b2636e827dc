"""Which candidates are named, in which order. Dimensions: N candidates."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.bulk.filtering import FILTERED_OUT
from app.learning.trust.places import FloatArray, IntArray, composition_places, fractions_of_keys
from app.screening.pareto import crowding_distances, pareto_fronts
from app.screening.predicted import Predicted
from app.screening.scoring import Scores
from app.screening.wish import POOL_OF_EACH_PICK, RankBy, ScreeningWish


class Status(StrEnum):
    """What became of a candidate."""

    SELECTED = "selected"
    NOT_SELECTED = "not_selected"
    FAILED_CONSTRAINTS = "failed_constraints"
    OUT_OF_DOMAIN = "out_of_domain"
    FILTERED = "filtered"
    ERROR = "error"


STATUSES = tuple(Status)


@dataclass(frozen=True, slots=True)
class Ranked:
    """`statuses` (N,), each a place in STATUSES; `fronts` (N,), 0 for candidates that are not ranked or without fronts.

    `order` are all candidates: those selected, best first, then the other ranked ones, then the rest as they came.
    """

    statuses: IntArray
    fronts: IntArray
    order: IntArray
    n_selected: int


def rank(found: Predicted, scores: Scores, wish: ScreeningWish) -> Ranked:
    statuses = _sieved(found, scores, wish)
    eligible = np.flatnonzero(statuses == STATUSES.index(Status.NOT_SELECTED))
    fronts = np.zeros(len(found), dtype=np.int64)
    if wish.ranking is RankBy.PARETO and len(eligible):
        fronts[eligible] = pareto_fronts(scores.costs[eligible])
    merit = eligible[_by_merit(scores, eligible, fronts, wish.ranking)]
    selected = merit[: wish.count]
    if wish.diverse:
        pool = merit[: wish.count * POOL_OF_EACH_PICK]
        selected = pool[spread_out([found.formulas[row] or "" for row in pool.tolist()], wish.count)]
    statuses[selected] = STATUSES.index(Status.SELECTED)
    is_selected = np.zeros(len(found), dtype=bool)
    is_selected[selected] = True
    is_ranked = np.zeros(len(found), dtype=bool)
    is_ranked[merit] = True
    order = np.concatenate([selected, merit[~is_selected[merit]], np.flatnonzero(~is_ranked)])
    return Ranked(statuses, fronts, order, len(selected))


def spread_out(formulas: list[str], count: int) -> IntArray:
    """Places of up to `count` of the formulas: the first one, then each time what is farthest from those before.

    Greedy k-centre in the composition coordinates of `app.learning.trust.places`; of equally far ones the earlier.
    """
    if not formulas:
        return np.zeros(0, dtype=np.int64)
    places = composition_places(fractions_of_keys(formulas)).astype(np.float64)
    picks = [0]
    away = np.linalg.norm(places - places[0], axis=1)
    away[0] = -1.0
    while len(picks) < min(count, len(formulas)):
        pick = int(away.argmax())
        picks.append(pick)
        away = np.minimum(away, np.linalg.norm(places - places[pick], axis=1))
        away[picks] = -1.0
    return np.array(picks, dtype=np.int64)


def _sieved(found: Predicted, scores: Scores, wish: ScreeningWish) -> IntArray:
    """Statuses before anything is ranked: what passes is not selected yet."""
    has_values = np.isfinite(found.values).all(axis=1)
    filtered = np.array([code == FILTERED_OUT for code in found.codes], dtype=bool)
    outside = (found.in_domain == 0).any(axis=1) if wish.in_domain else np.zeros(len(found), dtype=bool)
    fails = ~(scores.joint >= wish.min_probability) if wish.constraints else np.zeros(len(found), dtype=bool)
    conditions = [filtered, ~has_values, fails, outside]
    named = (Status.FILTERED, Status.ERROR, Status.FAILED_CONSTRAINTS, Status.OUT_OF_DOMAIN)
    return np.select(conditions, [STATUSES.index(each) for each in named], STATUSES.index(Status.NOT_SELECTED))


def _by_merit(scores: Scores, rows: IntArray, fronts: IntArray, ranking: RankBy) -> IntArray:
    """Order of the rows, best first; of equals the earlier candidate."""
    joint, costs = scores.joint[rows], scores.costs[rows]
    keys: list[FloatArray | IntArray] = [rows]
    if ranking is RankBy.PROBABILITY:
        keys += [*costs.T[::-1], -joint]
    elif ranking is RankBy.OBJECTIVE:
        keys += [-joint, costs[:, 0]]
    else:
        keys += [-joint, -crowding_distances(costs, fronts[rows]), fronts[rows]]
    return np.asarray(np.lexsort(keys))
