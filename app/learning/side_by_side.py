"""Several runs that differ in seed, rows and weights only, trained together: in lock-step where that is faster."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from app.learning.device import flushed_denormals
from app.learning.hyperparameters import Hyperparameters
from app.learning.strategies.descent import member_of
from app.learning.strategies.run import Fitted, Run
from app.learning.training.loop import TrainingEvent
from app.learning.training.members import train_members
from app.learning.training_job import TrainedModel, close_run
from app.registry.manifest import Architecture, Parent


def trains_in_lock_step(architecture: Architecture, chosen: Hyperparameters) -> bool:
    """Whether runs of this kind are one gradient descent each. A search for layer, parameters or method is not."""
    is_descent = architecture not in (Architecture.BASELINE, Architecture.ENSEMBLE)
    return is_descent and chosen.layer != "auto" and chosen.members == 1


def train_together(
    runs: Sequence[Run],
    parents: Sequence[Parent | None],
    work_dir: Path,
    on_event: Callable[[int, TrainingEvent], None],
    side_by_side: bool | None = None,
) -> list[TrainedModel]:
    """What `train_model` gives for each of the runs, in their order.

    `side_by_side` as in `train_members`: None stacks the networks on a GPU where they allow it. The same runs go on
    from `work_dir`. A model's `wall_s` is its share of the time of all. Raises what `train_members` and `close_run`
    raise.
    """
    started = time.monotonic()
    members = [member_of(run) for run in runs]
    run_key = hashlib.sha256("/".join(run.run_key for run in runs).encode()).hexdigest()
    with flushed_denormals():
        results = train_members(
            members, work_dir, run_key, runs[0].device, on_event, runs[0].should_stop, side_by_side
        )  # fmt: skip
    share = (time.monotonic() - started) / len(runs)
    models = []
    for run, parent, member, result in zip(runs, parents, members, results, strict=True):
        fitted = Fitted(
            member.network, member.target_map, run.split, result.best_epoch, result.epochs,
            result.earlier_s / len(runs), result.history,
        )  # fmt: skip
        models.append(close_run(run, fitted, parent, share))
    return models
