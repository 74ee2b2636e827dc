"""What one optimisation needs to know, and the learning rate at each of its steps."""

import math
from dataclasses import dataclass

from app.learning.hyperparameters import Hyperparameters


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Resolved numbers of one run (see `Hyperparameters` for their meaning)."""

    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: str
    schedule: str
    loss: str
    ema_decay: float
    kept_weights: str
    gradient_clip: float
    precision: str
    max_seconds: float
    seed: int
    rate_decay: float = 0.1

    @classmethod
    def of(cls, resolved: Hyperparameters, seed: int) -> "TrainingPlan":
        """From hyperparameters with every field filled; what is younger than a job that waits may be missing there."""
        values = resolved.model_dump(exclude_none=True)
        names = [name for name in cls.__dataclass_fields__ if name in values]
        return cls(**{name: values[name] for name in names}, seed=seed)

    def keeps(self, epoch: int, error: float, best_error: float) -> bool:
        """Whether the weights after `epoch`, counted from 1, are kept; errors are those of the validation rows."""
        is_last = self.kept_weights == "last" and epoch == self.max_epochs
        return error < best_error or (is_last and error <= LAST_TOLERANCE * best_error)


LAST_TOLERANCE = 1.15
"""Of the lowest validation error: where that of the last epoch is higher, it is no matter of which rows were drawn."""
_WARM_UP = 0.3
_START_DIVISOR = 25.0
_END_DIVISOR = 1e4
_STEP_EPOCH = 100


def learning_rate_at(plan: TrainingPlan, step: int, steps_per_epoch: int) -> float:
    """Learning rate of optimiser step `step`, counted from 0. A function of the step alone, so resuming is exact.

    `one_cycle`: cosine up to the full rate over 30 % of the steps, cosine down to almost nothing (Smith 2018).
    `step`: `rate_decay` times the rate from epoch 100 on (Lee & Asahi 2021, Table S1: a tenth). `plateau` depends on
    the losses too: see `rate_on_plateau`.
    """
    if plan.schedule == "constant":
        return plan.learning_rate
    if plan.schedule == "step":
        return plan.learning_rate * (plan.rate_decay if step // steps_per_epoch >= _STEP_EPOCH else 1.0)
    total = max(plan.max_epochs * steps_per_epoch - 1, 1)
    progress = min(step / total, 1.0)
    if progress < _WARM_UP:
        low, high, x = plan.learning_rate / _START_DIVISOR, plan.learning_rate, progress / _WARM_UP
    else:
        low, high = plan.learning_rate / _END_DIVISOR, plan.learning_rate
        x = 1.0 - (progress - _WARM_UP) / (1.0 - _WARM_UP)
    return low + (high - low) * (1.0 - math.cos(math.pi * x)) / 2.0
