"""A bulk prediction on a server: the file goes up, the results come down."""

from pathlib import Path
from typing import Any

from app.bulk.formats import ResultFormat
from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.cli.remote_job import RemoteJob, start
from app.cli.server import Server
from app.cli.starting import Started
from app.jobs.kinds import JobKind

PATH = JobKind.BULK_PREDICTION.path


def start_on_server(
    server: Server, data: Path | None, dataset: str | None, choice: ModelChoice, started: Started
) -> dict[str, Any]:
    """The new job. Raises ServerError."""
    fields = choice.model_dump(exclude_none=True)
    return start(server, PATH, started, data, fields, {"dataset_id": dataset, **fields})


def fetch_from_server(server: Server, job: dict[str, Any], output: Path, fmt: ResultFormat) -> tuple[int, int]:
    """Inputs done, and those among them without a value, when the job has ended. Raises ServerError, JobEnded."""
    ended = RemoteJob(server, PATH, BulkPredictionRead, "input").succeeded(job)
    server.download(f"{PATH}/{ended.id}/results", {"format": fmt.value}, output)
    return ended.progress.done, ended.progress.failed
