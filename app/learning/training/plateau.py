"""The learning rate of Krawczuk & Venturi 2020: lower each time the training loss has stopped falling."""

from collections.abc import Sequence

PATIENCE = 25
FACTOR = 0.8
LOWEST_RATE = 1e-6


def rate_on_plateau(losses: Sequence[float], initial: float) -> float:
    """Learning rate of the epoch that follows those with these training losses; `initial` for the first.

    It falls by FACTOR after each PATIENCE epochs without a new lowest loss, down to LOWEST_RATE (a smaller `initial`
    stays). A function of the history alone, so a resumed run has the rates of an uninterrupted one.
    """
    lowest, waited, rate = float("inf"), 0, initial
    for loss in losses:
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited >= PATIENCE:
            rate, waited = max(rate * FACTOR, min(LOWEST_RATE, initial)), 0
    return rate
