"""A bulk prediction on a server: the file goes up, the results come down."""

import time
from pathlib import Path

from tqdm import tqdm

from app.bulk.formats import ResultFormat
from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.cli.output import stderr
from app.cli.server import JobEnded, Server
from app.jobs.status import JobStatus

POLL_S = 0.5


def run_on_server(url: str, data: Path, output: Path, fmt: ResultFormat, choice: ModelChoice) -> tuple[int, int]:
    """Inputs done, and those among them without a value; Ctrl-C cancels the job. Raises ServerError, JobEnded."""
    with Server(url) as server:
        with stderr.status("uploading"):
            job = server.create_bulk(data, choice)
        job = _follow(server, job)
        if job.status is not JobStatus.SUCCEEDED:
            code = job.error.code if job.error is not None else job.status.value
            raise JobEnded(job.status_reason or "The job was ended.", code)
        server.download(f"/v1/bulk-predictions/{job.id}/results", {"format": fmt.value}, output)
    return job.progress.done, job.progress.failed


def _follow(server: Server, job: BulkPredictionRead) -> BulkPredictionRead:
    with tqdm(desc="waiting", unit="input", unit_scale=True, file=stderr.file, disable=None) as bar:
        while not job.status.is_terminal:
            try:
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                server.cancel_bulk(job.id)
            job = server.read_bulk(job.id)
            bar.set_description(job.status.value)
            bar.total = job.progress.total
            bar.update(job.progress.done - bar.n)
            bar.set_postfix_str(f"{job.progress.failed:,} failed")
    return job
