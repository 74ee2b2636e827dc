"""A screening on a server: candidates go up, results come down."""

from pathlib import Path
from typing import Any

from app.cli.remote_job import RemoteJob, start
from app.cli.server import Server
from app.cli.starting import Started
from app.jobs.kinds import JobKind
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.wish import ScreeningWish

PATH = JobKind.SCREENING.path


def start_on_server(
    server: Server, data: Path | None, wish: ScreeningWish, request: ScreeningCreate | None, started: Started
) -> dict[str, Any]:
    """The new job. Raises ServerError."""
    body = request.model_dump(mode="json", exclude_none=True) if request is not None else {}
    if request is not None and request.webhook is not None and request.webhook.secret is not None:
        body["webhook"]["secret"] = request.webhook.secret.get_secret_value()
    return start(server, PATH, started, data, {"wish": wish.model_dump_json()}, body)


def fetch_from_server(server: Server, job: dict[str, Any], table: Path, structures: Path | None) -> dict[str, int]:
    """Counts of what became of the candidates, when the job has ended; the table of all comes as Parquet.

    Raises ServerError, JobEnded.
    """
    ended = RemoteJob(server, PATH, ScreeningRead, "candidate").succeeded(job)
    path = f"{PATH}/{ended.id}"
    server.download(f"{path}/results", {"format": "parquet", "scope": ResultScope.ALL.value}, table)
    if structures is not None:
        server.download(f"{path}/structures", {}, structures)
    return ended.counts.model_dump() if ended.counts is not None else {}
