"""A fine-tuning job of this installation, run by a worker process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cli.follow import JobSource, follow
from app.cli.installation import Installation, open_installation
from app.cli.output import stderr
from app.core.db import open_session
from app.core.settings import Settings
from app.datasets.service import DatasetService
from app.fine_tuning.schemas import FineTuningJobCreate, FineTuningJobRead
from app.fine_tuning.service import FineTuningService
from app.properties.catalogue import Transform

WORKER_MODULE = "workers.run_job"
WORKER_STOP_S = 10.0

LabelledFile = tuple[Path, tuple[str, str | None, Transform | None]]
"""A table and what its labels are: property key, unit, transform."""


def run_locally(
    settings: Settings, data: LabelledFile | str, request: Callable[[str], FineTuningJobCreate]
) -> FineTuningJobRead:
    """Store the data set, unless `data` is the id of one, create the job and follow it to its end.

    `request` makes the job's request from the data set's id. Raises what an upload and a new job raise.
    """
    with open_installation(settings) as local:
        dataset_id = data if isinstance(data, str) else _store_dataset(local, data[0], *data[1])
        with open_session(local.sessions) as session:
            created = FineTuningService(session, local.store, settings).create(request(dataset_id), None)
        with _worker(local, created.id):
            return follow(_LocalJob(local, created.id))


class _LocalJob(JobSource):
    def __init__(self, local: Installation, job_id: str) -> None:
        self._local = local
        self._job_id = job_id

    def read(self) -> FineTuningJobRead:
        with open_session(self._local.sessions, read_only=True) as session:
            return FineTuningService(session, self._local.store, self._local.settings).get(self._job_id)

    def cancel(self) -> None:
        with open_session(self._local.sessions) as session:
            FineTuningService(session, self._local.store, self._local.settings).cancel(self._job_id)


def _store_dataset(
    local: Installation, data: Path, property_key: str, unit: str | None, transform: Transform | None
) -> str:
    with stderr.status("reading the data"), data.open("rb") as file, open_session(local.sessions) as session:
        service = DatasetService(session, local.store, local.settings)
        dataset, _, report = service.create(data.name, file, property_key, unit=unit, transform=transform)
        dataset_id = dataset.id
    stderr.print(f"{report.n_usable} of {report.n_rows} rows can be used", highlight=False)
    for warning in report.warnings:
        stderr.print(f"- {warning}", markup=False, highlight=False)
    return dataset_id


@contextmanager
def _worker(local: Installation, job_id: str) -> Iterator[None]:
    """The worker's own code runs the job in a child process; a service on the same data folder may be faster."""
    settings = local.settings
    environment = {**os.environ, "XTALFORGE_DATA_DIR": str(settings.data_dir), "XTALFORGE_LOG_LEVEL": "WARNING"}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "app.cli.launcher", str(os.getpid()), sys.executable, "-m", WORKER_MODULE, job_id],
        env=environment,
        # Ctrl-C is answered here by cancelling the job, which the worker then sees.
        process_group=0,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(WORKER_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
