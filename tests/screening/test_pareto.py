"""Fronts against their definition."""

import time

import numpy as np
import pytest

from app.screening.pareto import crowding_distances, pareto_fronts


def by_definition(costs: np.ndarray) -> np.ndarray:
    """Front after front, by comparing all pairs."""
    fronts, number = np.zeros(len(costs), dtype=int), 0
    while not fronts.all():
        number += 1
        left = np.flatnonzero(fronts == 0)
        here = costs[left]
        dominated = [((here <= p).all(axis=1) & (here < p).any(axis=1)).any() for p in here]
        fronts[left[~np.array(dominated)]] = number
    return fronts


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("levels", [3, 1000])
def test_fronts_are_what_the_definition_says(dimensions: int, levels: int) -> None:
    random = np.random.default_rng(dimensions)
    costs = random.integers(0, levels, size=(400, dimensions)) / levels - 0.5
    np.testing.assert_array_equal(pareto_fronts(costs), by_definition(costs))


def test_a_hundred_thousand_points_take_less_than_a_minute() -> None:
    costs = np.random.default_rng(0).normal(size=(100_000, 3))
    started = time.monotonic()
    fronts = pareto_fronts(costs)
    assert time.monotonic() - started < 60
    first = costs[fronts == 1]
    assert not any(((first <= p).all(axis=1) & (first < p).any(axis=1)).any() for p in first)


def test_ends_of_a_front_come_before_what_is_crowded() -> None:
    costs = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [1.0, 0.0], [2.0, 2.0]])
    crowding = crowding_distances(costs, pareto_fronts(costs))
    assert np.isinf(crowding[[0, 3, 4]]).all()
    assert crowding[2] == pytest.approx(1.8) and crowding[1] == pytest.approx(1.0)


@pytest.mark.parametrize("costs", [np.zeros((2, 4)), np.array([[np.nan, 0.0]])])
def test_what_has_no_fronts_is_refused(costs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one to three costs"):
        pareto_fronts(costs)
