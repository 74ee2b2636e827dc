"""The training process: files in, files out. It knows no database, no broker and no store."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.logging import configure_logging, get_logger
from app.core.processes import die_with_parent
from app.fine_tuning.held_out import shown_rows
from app.jobs.errors import JobErrorCode
from workers.attempt import PARENT_PID_VARIABLE, STOPPED, SUCCEEDED, AttemptFolder, Run, RunError
from workers.failure import describe_error, failed

if TYPE_CHECKING:
    from app.learning.training_job import SearchEvent, TrainingEvent

log = get_logger(__name__)

SECONDS_BETWEEN_EVENTS = 1.0
MEMORY_ADVICE = "Try a smaller batch_size, or leave out the largest cells."


def main(folder: Path, parent_pid: int) -> int:
    """Train what lies in `folder`; the exit code (see `workers.attempt`)."""
    die_with_parent(parent_pid)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    attempt = AttemptFolder(folder)
    try:
        return _train_until_stopped(attempt, stop.is_set)
    except Exception as error:  # noqa: BLE001 - told to the supervisor
        return failed(attempt, describe(error), "training failed")


def _train_until_stopped(attempt: AttemptFolder, should_stop: Callable[[], bool]) -> int:
    from app.learning.training_job import TrainingStopped  # torch may find no memory

    try:
        train(attempt, should_stop)
    except TrainingStopped:
        return STOPPED
    return SUCCEEDED


def train(attempt: AttemptFolder, should_stop: Callable[[], bool]) -> None:
    from app.datasets.table import read_table
    from app.learning.training_job import TrainingSpec, TrainingTable, train_model

    run, dataset, base = attempt.read_input()
    configure_logging(run.log_level, run.log_format)
    spec = TrainingSpec.model_validate(run.spec)
    log.info("training begins", model=spec.name, method=spec.method)
    items, targets, row_ids = read_table(dataset)
    attempt.append_event("message", f"Reading {len(items)} rows of {spec.dataset_name}.", {"n_rows": len(items)})
    trained = train_model(
        TrainingTable(items=items, targets=targets, row_ids=row_ids), spec, base, run.parent, attempt.checkpoint,
        EpochReporter(attempt, run), should_stop, run.device, SearchReporter(attempt), attempt.read_sources(),
    )  # fmt: skip
    rows = shown_rows(trained.test_formulas, trained.test_labels, trained.test_predictions)
    attempt.write_result(trained.manifest, trained.weights, trained.trust, rows)


class EpochReporter:
    """Turns each epoch into an event with the time that is left, at this process's own pace."""

    def __init__(self, attempt: AttemptFolder, run: Run) -> None:
        self._attempt = attempt
        self._unit: str = run.spec["property"]["unit"]
        self._started_at = time.monotonic()
        self._first_epoch: int | None = None
        self._split = 1

    def __call__(self, event: "TrainingEvent") -> None:
        if event.split > self._split:
            self._split = event.split
            self._attempt.append_event(
                "message",
                f"A batch did not fit into memory: each is computed in {event.split} parts from now on. Steps and "
                "learning rates stay as they are; batch normalisation sees the parts.",
                {"parts": event.split},
            )
        if self._first_epoch is None:
            self._first_epoch = event.epoch
        done = event.epoch - self._first_epoch + 1
        eta_s = (time.monotonic() - self._started_at) / done * (event.max_epochs - event.epoch)
        stage = f" ({event.stage})" if event.stage else ""
        self._attempt.append_event(
            "epoch",
            f"Epoch {event.epoch} of {event.max_epochs}{stage}: validation MAE {event.val_mae:.4g} {self._unit}",
            {
                "epoch": event.epoch, "max_epochs": event.max_epochs, "train_loss": event.train_loss,
                "val_mae": event.val_mae, "best_val_mae": event.best_val_mae, "unit": self._unit,
                "learning_rate": event.learning_rate, "elapsed_s": round(event.elapsed_s, 3), "eta_s": round(eta_s, 1),
                "stage": event.stage,
            },
        )  # fmt: skip


class SearchReporter:
    """Tells where a search stands, once a second at most: small fits take milliseconds."""

    def __init__(self, attempt: AttemptFolder) -> None:
        self._attempt = attempt
        self._told_at = float("-inf")

    def __call__(self, event: "SearchEvent") -> None:
        now = time.monotonic()
        if now - self._told_at < SECONDS_BETWEEN_EVENTS:
            return
        self._told_at = now
        data = {"done": event.done, "total": event.total, "text": event.text}
        self._attempt.append_event("search", f"{event.done} of {event.total} done: {event.text}", data)


def describe(error: BaseException) -> RunError:
    """A stable code and one sentence; the traceback stays in the log."""
    return describe_error(error, "training", JobErrorCode.TRAINING_FAILED, MEMORY_ADVICE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ[PARENT_PID_VARIABLE])))
