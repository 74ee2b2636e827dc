"""Following a fine-tuning job to its end, here or on a server."""

import time
from typing import NoReturn, Protocol

from tqdm import tqdm

from app.cli.output import print_table, stderr
from app.fine_tuning.schemas import FineTuningJobRead
from app.jobs.status import JobStatus

POLL_S = 0.5


class JobSource(Protocol):
    """Where the job is looked at."""

    def read(self) -> FineTuningJobRead: ...

    def cancel(self) -> None: ...


def follow(source: JobSource) -> FineTuningJobRead:
    """Show the progress until the job has ended; Ctrl-C cancels it and waits for that."""
    with tqdm(desc="waiting", unit="epoch", file=stderr.file, disable=None) as bar:
        job = source.read()
        while not job.status.is_terminal:
            try:
                _show(bar, job)
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                bar.set_description("cancelling")
                source.cancel()
            job = source.read()
        _show(bar, job)
    return job


def _show(bar: "tqdm[NoReturn]", job: FineTuningJobRead) -> None:
    bar.set_description(job.status.value)
    if job.progress is not None:
        bar.total = job.progress.max_epochs
        bar.update(job.progress.epoch - bar.n)
        bar.set_postfix_str(f"best validation MAE {job.progress.best_val_mae:.4g} {job.progress.unit}")
    if job.search is not None:
        bar.unit = "fit"
        bar.total = job.search.total
        bar.update(job.search.done - bar.n)
        bar.set_postfix_str(job.search.text)
    bar.refresh()


def print_result(job: FineTuningJobRead) -> None:
    """A table of the errors of the model that the job made."""
    if job.result is None or job.status is not JobStatus.SUCCEEDED:
        return
    metrics = job.result.metrics
    splits = {"train": metrics.train, "validation": metrics.val, "test": metrics.test}
    print_table(
        f"{job.result.model}/{job.result.version} predicts {job.property}",
        ("split", "rows#", f"MAE ({job.unit})#", f"RMSE ({job.unit})#", f"MAE of the mean ({job.unit})#"),
        ((name, m.n, f"{m.mae:.4g}", f"{m.rmse:.4g}", f"{m.mad:.4g}") for name, m in splits.items() if m is not None),
    )
