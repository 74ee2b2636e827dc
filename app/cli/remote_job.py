"""Jobs of a server over files: begun, and followed to their end."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from app.bulk.schemas import BulkPredictionRead
from app.cli.output import stderr
from app.cli.server import Server
from app.cli.starting import Started
from app.core.errors import XtalforgeError
from app.jobs.status import JobStatus
from app.screening.schemas import ScreeningRead

POLL_S = 0.5

FileJob = TypeVar("FileJob", BulkPredictionRead, ScreeningRead)


class JobEnded(XtalforgeError):
    """A job on the server that did not succeed."""

    code, title = "job_ended", "The job did not succeed"

    def __init__(self, detail: str, job_code: str) -> None:
        super().__init__(f"{detail} [{job_code}]")


def start(
    server: Server,
    path: str,
    started: Started,
    data: Path | None,
    fields: Mapping[str, Any],
    request: Mapping[str, Any],
) -> dict[str, Any]:
    """A new job for a file with form fields, or for a request in JSON. Raises ServerError."""
    if data is None:
        return server.create(path, {**request, **started.as_json()})
    with stderr.status("uploading"):
        return server.create(path, file=data, fields={**fields, **started.as_form()})


@dataclass(frozen=True, slots=True)
class RemoteJob(Generic[FileJob]):
    """A job over a file or its like."""

    server: Server
    path: str
    model: type[FileJob]
    unit: str

    def succeeded(self, document: Mapping[str, Any]) -> FileJob:
        """Show its progress to its end; Ctrl-C cancels it. Raises ServerError, JobEnded."""
        job = self.model.model_validate(document)
        with tqdm(desc="waiting", unit=self.unit, unit_scale=True, file=stderr.file, disable=None) as bar:
            while not job.status.is_terminal:
                try:
                    time.sleep(POLL_S)
                except KeyboardInterrupt:
                    self.server.send("POST", f"{self.path}/{job.id}/cancel")
                job = self.model.model_validate(self.server.get(f"{self.path}/{job.id}"))
                bar.set_description(job.status.value)
                bar.total = job.progress.total
                bar.update(job.progress.done - bar.n)
                bar.set_postfix_str(f"{job.progress.failed:,} failed")
        if job.status is not JobStatus.SUCCEEDED:
            code = job.error.code if job.error is not None else job.status.value
            raise JobEnded(job.status_reason or "The job was ended.", code)
        return job
