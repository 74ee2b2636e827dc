"""`xtalforge fine-tune`: from a file of labelled crystals to a registered model, here or on a server."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from app.cli.datasets import PATH as DATASETS
from app.cli.datasets import TransformOption, UnitOption
from app.cli.follow import JobSource, follow, print_result
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, ServerOption, print_error, print_json, print_record
from app.cli.server import Server
from app.cli.starting import DatasetOption, DetachOption, Started, WebhookOption, WebhookSecretOption
from app.fine_tuning.schemas import AUTO, FineTuningJobCreate, FineTuningJobRead
from app.jobs.kinds import JobKind
from app.jobs.status import JobStatus
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method

JOBS = JobKind.FINE_TUNING.path


def fine_tune(
    *,
    data: Annotated[
        Path | None,
        typer.Argument(exists=True, dir_okay=False, help="CSV, JSONL, Parquet, or zip of CIFs with id_prop.csv."),
    ] = None,
    property_key: Annotated[
        str | None,
        typer.Option(
            "--property", "-p", help="What the labels of DATA are: a key of the catalogue, or one of your own."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the model; one that exists gets a new version.")],
    base: Annotated[str, typer.Option(help="NAME, NAME@ALIAS, NAME/VERSION or auto.")] = AUTO,
    method: Annotated[Method, typer.Option(help="How the base model is used.")] = Method.FINE_TUNE,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the method's own.")] = None,
    settings_given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another hyperparameter, such as layer=2; may be repeated."),
    ] = None,
    unit: UnitOption = None,
    transform: TransformOption = None,
    dataset: DatasetOption = None,
    is_detached: DetachOption = False,
    webhook: WebhookOption = None,
    webhook_secret_file: WebhookSecretOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Train a model on DATA and register it. Ctrl-C cancels the job."""
    started = Started(server, webhook, webhook_secret_file, is_detached)
    if (data is None) == (dataset is None):
        raise typer.BadParameter("give a file, or --dataset")
    if (data is None) != (property_key is None):
        raise typer.BadParameter("it goes with a file, which does not say it", param_hint="--property")
    hyperparameters = _hyperparameters(max_epochs, settings_given or [])

    def request(dataset_id: str) -> FineTuningJobCreate:
        return FineTuningJobCreate(
            dataset_id=dataset_id,
            model_name=name,
            base_model=base,
            method=method,
            hyperparameters=hyperparameters,
            seed=seed,
        )

    # Nothing is stored for a request that cannot be made.
    request("ds_checked_first")
    if server is not None:
        fields = {"property": property_key, "unit": unit, "transform": transform and transform.value}
        with Server(server) as remote:
            stored = dataset or remote.create(DATASETS, file=data, fields=fields)["id"]
            body = request(stored).model_dump(mode="json", exclude_none=True)
            created = remote.create(JOBS, {**body, **started.as_json()})
            if is_detached:
                print_record(created, as_json=as_json)
                return
            job = follow(_RemoteJob(remote, created["id"]))
    else:
        from app.cli.local_job import run_locally

        settings = settings_with(data_dir=data_dir)
        label = (property_key or "", unit, transform)
        job = run_locally(settings, (data, label) if data is not None else dataset or "", request)
    _print(job, as_json)


def _hyperparameters(max_epochs: int | None, given: list[str]) -> Hyperparameters:
    values: dict[str, object] = {} if max_epochs is None else {"max_epochs": max_epochs}
    for each in given:
        name, separator, value = each.partition("=")
        if not separator:
            raise typer.BadParameter(f"{each!r} is not of the form NAME=VALUE.", param_hint="--set")
        values[name.strip()] = value.strip()
    try:
        return Hyperparameters.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise typer.BadParameter(wrong, param_hint="--set") from error


class _RemoteJob(JobSource):
    def __init__(self, server: Server, job_id: str) -> None:
        self._server = server
        self._job_id = job_id

    def read(self) -> FineTuningJobRead:
        return FineTuningJobRead.model_validate(self._server.get(f"{JOBS}/{self._job_id}"))

    def cancel(self) -> None:
        self._server.send("POST", f"{JOBS}/{self._job_id}/cancel")


def _print(job: FineTuningJobRead, as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        print_result(job)
    if job.status is not JobStatus.SUCCEEDED:
        code = job.error.code if job.error is not None else job.status.value
        detail = job.error.detail if job.error is not None else job.status_reason or "The job was ended."
        print_error(detail, code)
        raise typer.Exit(EXIT_ERROR)
