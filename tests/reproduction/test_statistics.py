"""Against numbers worked out by hand."""

import math

import pytest

from app.reproduction.statistics import equivalent_size, gain, paired_p, spread


def test_spread_is_that_of_a_sample() -> None:
    found = spread([1.0, 2.0, 4.0])
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    assert found.std == pytest.approx(math.sqrt((16 / 9 + 1 / 9 + 25 / 9) / 2))


def test_a_single_value_has_no_spread() -> None:
    assert math.isnan(spread([1.0]).std)
    with pytest.raises(ValueError, match="no value"):
        spread([])


def test_paired_t_test() -> None:
    # Differences 1, 2, 3: t = 2 / (1 / sqrt(3)) = 3.4641 with two degrees of freedom, whose two-sided p-value is
    # 1 - t / sqrt(t^2 + 2).
    t = 2 * math.sqrt(3)
    assert paired_p([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(1 - t / math.sqrt(t**2 + 2))


def test_pairs_that_leave_nothing_to_test() -> None:
    assert paired_p([1.0], [2.0]) is None
    assert paired_p([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert paired_p([1.5, 2.5], [1.0, 2.0]) == 0.0


def test_equivalent_size_of_a_power_law() -> None:
    sizes = [100, 1000, 10_000]
    errors = [2.0 * n**-0.25 for n in sizes]
    assert equivalent_size(sizes, errors, 2.0 * 500**-0.25) == pytest.approx(500)


def test_no_equivalent_size_without_a_falling_curve() -> None:
    assert equivalent_size([500], [1.0], 0.5) is None
    assert equivalent_size([100, 1000], [1.0, 1.5], 0.5) is None


def test_gain_is_the_share_taken_away() -> None:
    assert gain(0.815, 0.978) == pytest.approx(16.7, abs=0.05)
    assert gain(1.1, 1.0) == pytest.approx(-10)
