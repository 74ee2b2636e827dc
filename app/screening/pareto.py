"""Pareto fronts of many points, exactly."""

from bisect import bisect_left, bisect_right

import numpy as np

from app.learning.trust.places import FloatArray, IntArray

MAX_DIMENSIONS = 3


def pareto_fronts(costs: FloatArray) -> IntArray:
    """Number of the front of each point, from 1, (N,); costs (N, D), D from 1 to 3, are to be small.

    A point is in the first front that none of whose points is at least as good in every cost and better in one; equal
    points share a front. Points come in lexicographic order, and the front of each is found by bisection (Zhang et al.
    2015, IEEE Trans. Evol. Comput. 19, 201); a front keeps the staircase of its last two costs, so that asking whether
    it dominates is a bisection too: O(N log^2 N) comparisons. Raises ValueError for more costs or NaN.
    """
    n, dimensions = costs.shape
    if not 1 <= dimensions <= MAX_DIMENSIONS or np.isnan(costs).any():
        raise ValueError("fronts need one to three costs, all of them numbers")
    unique, inverse = np.unique(costs, axis=0, return_inverse=True)
    padded = np.zeros((len(unique), MAX_DIMENSIONS))
    padded[:, MAX_DIMENSIONS - dimensions :] = unique
    fronts: list[_Staircase] = []
    found = np.empty(len(unique), dtype=np.int64)
    for row, (_, second, third) in enumerate(padded.tolist()):
        low, high = 0, len(fronts)
        while low < high:
            middle = (low + high) // 2
            if fronts[middle].dominates(second, third):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(_Staircase())
        fronts[low].add(second, third)
        found[row] = low + 1
    return found[inverse.reshape(n)]


class _Staircase:
    """Pairs of which none is at least as good as another in both costs: the first grows, the second falls."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._second: list[float] = []

    def dominates(self, first: float, second: float) -> bool:
        """Whether a pair is at least as good in both."""
        place = bisect_right(self._first, first) - 1
        return place >= 0 and self._second[place] <= second

    def add(self, first: float, second: float) -> None:
        """A pair that none dominates."""
        start = end = bisect_left(self._first, first)
        while end < len(self._first) and self._second[end] >= second:
            end += 1
        self._first[start:end] = [first]
        self._second[start:end] = [second]


def crowding_distances(costs: FloatArray, fronts: IntArray) -> FloatArray:
    """How far the neighbours of each point in its front are apart, (N,); the ends of a front have infinity.

    Sum over the costs of the gap between the next smaller and the next larger one, as a share of the front's range
    (Deb et al. 2002, IEEE Trans. Evol. Comput. 6, 182).
    """
    crowding = np.zeros(len(costs))
    order = np.argsort(fronts, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(fronts[order])) + 1):
        for column in costs[rows].T:
            by_cost = np.argsort(column, kind="stable")
            values, members = column[by_cost], rows[by_cost]
            span = values[-1] - values[0]
            crowding[members[[0, -1]]] = np.inf
            if span > 0 and len(rows) > 2:
                crowding[members[1:-1]] += (values[2:] - values[:-2]) / span
    return crowding
