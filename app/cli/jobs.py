"""`xtalforge jobs`: trainings, bulk predictions and screenings, of a server or of this installation."""

import json
import time
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.api import api
from app.cli.installation import DataDirOption
from app.cli.output import EXIT_REFUSED, JsonOption, ServerOption, print_error, print_record, print_records, stdout
from app.cli.result_file import result_format
from app.cli.server import Server, ServerError
from app.jobs.kinds import JobKind
from app.jobs.status import JobStatus

POLL_S = 0.5
NOT_FOUND = "job_not_found"

app = typer.Typer(no_args_is_help=True, help="Trainings, bulk predictions and screenings.")

JobArgument = Annotated[str, typer.Argument(help="Id of the job, job_...")]

_ROUTES = ("app.fine_tuning.routes", "app.bulk.routes", "app.screening.routes")
_COLUMNS = {
    "id": "job", "kind": "kind", "status": "status", "what": "what", "created_at": "made", "finished_at": "ended",
    "status_reason": "why",
}  # fmt: skip


class Kind(StrEnum):
    FINE_TUNING = "fine-tuning"
    BULK = "bulk"
    SCREENING = "screening"

    @property
    def job_kind(self) -> JobKind:
        return JobKind.BULK_PREDICTION if self is Kind.BULK else JobKind(self.value.replace("-", "_"))


def _api(server: str | None, data_dir: Path | None) -> AbstractContextManager[Server]:
    return api(server, data_dir, *_ROUTES)


@app.command("list")
def list_jobs(
    kind: Annotated[Kind | None, typer.Option(help="Only these. [default: all]")] = None,
    status: Annotated[list[JobStatus] | None, typer.Option(help="Only in this state; repeatable.")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List jobs, newest first."""
    wanted = [each.value for each in status] if status else None
    found: list[dict[str, Any]] = []
    with _api(server, data_dir) as service:
        for each in [kind.job_kind] if kind is not None else JobKind:
            found += ({"kind": each.label, **job} for job in service.items(each.path, status=wanted))
    found.sort(key=lambda job: str(job["created_at"]), reverse=True)
    if not as_json:
        found = [{**job, "what": _what(job)} for job in found]
    print_records(found, _COLUMNS, as_json=as_json)


@app.command()
def show(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Show a job with every choice made for it."""
    with _api(server, data_dir) as service:
        print_record(_find(service, job)[0], as_json=as_json)


@app.command()
def events(
    job: JobArgument,
    is_followed: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only what comes after this number.")] = 0,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Tell what happened in a job; with --json a line of JSON for each event."""
    with _api(server, data_dir) as service:
        kind = _find(service, job)[1]
        while True:
            page = service.get(f"{kind.path}/{job}/events", after=after)
            for event in page["items"]:
                if as_json:
                    typer.echo(json.dumps(event))
                else:
                    stdout.print(f"{event['created_at']}  {event['message']}", markup=False, highlight=False)
            if page["next"] is None or (not page["items"] and not is_followed):
                return
            after = page["next"]
            if not page["items"]:
                time.sleep(POLL_S)


@app.command()
def cancel(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Cancel a job: at once what waits, within seconds what runs."""
    _order(job, "cancel", as_json, server, data_dir)


@app.command()
def pause(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Pause a job; it gives its place to others and keeps what it has done."""
    _order(job, "pause", as_json, server, data_dir)


@app.command()
def resume(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Let a paused job go on where it was."""
    _order(job, "resume", as_json, server, data_dir)


@app.command()
def retry(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Let a job that failed, expired or was cancelled begin again."""
    _order(job, "retry", as_json, server, data_dir)


@app.command()
def results(
    job: JobArgument,
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="A .csv, .jsonl or .parquet file.")],
    is_partial: Annotated[bool, typer.Option("--partial", help="Bulk: what there is of an unfinished job.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Screening: every candidate.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fetch the results of a bulk prediction or a screening."""
    fmt = result_format(output)
    with _api(server, data_dir) as service:
        kind = _find(service, job)[1]
        _require_results(kind, f"{job} is a training: see `xtalforge report {job}`.")
        parameters = {"format": fmt.value}
        if is_partial and kind is JobKind.BULK_PREDICTION:
            parameters["partial"] = "true"
        if everything and kind is JobKind.SCREENING:
            parameters["scope"] = "all"
        service.download(f"{kind.path}/{job}/results", parameters, output)
    print_record({"written": str(output)}, as_json=as_json)


@app.command()
def structures(
    job: JobArgument,
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="A .zip file.")],
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fetch the CIFs of what a screening selected."""
    with _api(server, data_dir) as service:
        service.download(f"{JobKind.SCREENING.path}/{job}/structures", {}, output)
    print_record({"written": str(output)}, as_json=as_json)


@app.command()
def delete(
    job: JobArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Delete the results of a bulk prediction or a screening; the job stays listed."""
    with _api(server, data_dir) as service:
        kind = _find(service, job)[1]
        _require_results(kind, f"{job} is a training: delete the model version it made.")
        service.send("DELETE", f"{kind.path}/{job}")
    print_record({"deleted": job}, as_json=as_json)


def _order(job: str, order: str, as_json: bool, server: str | None, data_dir: Path | None) -> None:
    with _api(server, data_dir) as service:
        kind = _find(service, job)[1]
        print_record(service.send("POST", f"{kind.path}/{job}/{order}"), as_json=as_json)


def _find(service: Server, job: str) -> tuple[dict[str, Any], JobKind]:
    """The job and its kind, which its id does not tell. Raises ServerError when there is none."""
    for kind in JobKind:
        try:
            return service.get(f"{kind.path}/{job}"), kind
        except ServerError as error:
            if error.code != NOT_FOUND:
                raise
    raise ServerError(f"There is no job '{job}'.", NOT_FOUND, 404)


def _require_results(kind: JobKind, otherwise: str) -> None:
    if kind is JobKind.FINE_TUNING:
        print_error(otherwise, "no_results")
        raise typer.Exit(EXIT_REFUSED)


def _what(job: dict[str, Any]) -> str:
    """In few words what the job is about."""
    if "model_name" in job:
        return f"{job['model_name']} by {job['method']}"
    source = job.get("input") or {}
    progress = job.get("progress") or {}
    return f"{source.get('name') or 'generator'}: {progress.get('done', 0):,} done"
