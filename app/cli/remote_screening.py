"""A screening on a server: candidates go up, results come down."""

import time
from pathlib import Path

from tqdm import tqdm

from app.cli.output import stderr
from app.cli.remote_bulk import POLL_S
from app.cli.server import JobEnded, Server
from app.jobs.status import JobStatus
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.wish import ScreeningWish


def screen_on_server(
    url: str, data: Path | None, wish: ScreeningWish, request: ScreeningCreate | None, table: Path,
    structures: Path | None,
) -> dict[str, int]:  # fmt: skip
    """Counts of what became of the candidates; the table of all comes as Parquet. Ctrl-C cancels the job.

    Raises ServerError, JobEnded.
    """
    with Server(url) as server:
        if data is not None:
            with stderr.status("uploading"):
                job = server.create_screening_of_file(data, wish)
        else:
            assert request is not None
            job = server.create_screening(request)
        job = _follow(server, job)
        if job.status is not JobStatus.SUCCEEDED or job.counts is None:
            code = job.error.code if job.error is not None else job.status.value
            raise JobEnded(job.status_reason or "The job was ended.", code)
        path = f"/v1/screenings/{job.id}"
        server.download(f"{path}/results", {"format": "parquet", "scope": ResultScope.ALL.value}, table)
        if structures is not None:
            server.download(f"{path}/structures", {}, structures)
    return job.counts.model_dump()


def _follow(server: Server, job: ScreeningRead) -> ScreeningRead:
    with tqdm(desc="waiting", unit="candidate", unit_scale=True, file=stderr.file, disable=None) as bar:
        while not job.status.is_terminal:
            try:
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                server.cancel_screening(job.id)
            job = server.read_screening(job.id)
            bar.set_description(job.status.value)
            bar.total = job.progress.total
            bar.update(job.progress.done - bar.n)
    return job
