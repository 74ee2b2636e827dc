"""The learning rate that falls when the loss no longer does."""

import pytest

from app.learning.training.plateau import rate_on_plateau


def test_a_falling_loss_keeps_the_rate() -> None:
    assert rate_on_plateau([], 1e-4) == 1e-4
    assert rate_on_plateau([1.0 / n for n in range(1, 200)], 1e-4) == 1e-4


def test_it_falls_after_25_epochs_without_a_new_lowest_loss() -> None:
    flat = [1.0, *[2.0] * 24]
    assert rate_on_plateau(flat, 1e-4) == 1e-4
    assert rate_on_plateau([*flat, 1.0], 1e-4) == pytest.approx(0.8e-4)
    assert rate_on_plateau([*flat, 0.9, *[1.0] * 24], 1e-4) == 1e-4
    assert rate_on_plateau([1.0] * 51, 1e-4) == pytest.approx(0.64e-4)


def test_it_never_falls_below_the_lowest() -> None:
    assert rate_on_plateau([1.0] * 10_000, 1e-4) == 1e-6
    assert rate_on_plateau([1.0] * 10_000, 1e-7) == 1e-7
