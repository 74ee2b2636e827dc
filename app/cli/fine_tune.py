"""`xtalforge fine-tune`: from a file of labelled crystals to a registered model, here or on a server."""

from typing import Annotated

import typer
from pydantic import ValidationError

from app.cli.datasets import DataArgument, PropertyOption, TransformOption, UnitOption
from app.cli.follow import JobSource, follow, print_result
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, ServerOption, print_error, print_json
from app.cli.server import Server
from app.fine_tuning.schemas import AUTO, FineTuningJobCreate, FineTuningJobRead
from app.jobs.status import JobStatus
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method


def fine_tune(
    data: DataArgument,
    property_key: PropertyOption,
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
    server: ServerOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Train a model on DATA and register it. Ctrl-C cancels the job."""

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
        fields = {"property": property_key, **({"unit": unit} if unit else {})}
        fields |= {"transform": transform.value} if transform else {}
        with Server(server) as remote:
            uploaded = remote.upload_dataset(data, fields)
            job = follow(_RemoteJob(remote, remote.create_job(request(uploaded["id"])).id))
    else:
        from app.cli.local_job import run_locally

        settings = settings_with(data_dir=data_dir)
        job = run_locally(settings, data, (property_key, unit, transform), request)
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
        return self._server.read_job(self._job_id)

    def cancel(self) -> None:
        self._server.cancel_job(self._job_id)


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
