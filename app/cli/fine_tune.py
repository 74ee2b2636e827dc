"""`xtalforge fine-tune`: from a file of labelled crystals to a registered model, here or on a server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.datasets import DataArgument, PropertyOption, TransformOption, UnitOption
from app.cli.follow import JobSource, follow, print_result
from app.cli.installation import DataDirOption, Installation, open_installation, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, print_error, print_json, stderr
from app.cli.server import Server
from app.core.db import open_session
from app.datasets.service import DatasetService
from app.fine_tuning.schemas import AUTO, FineTuningJobCreate, FineTuningJobRead
from app.fine_tuning.service import FineTuningService
from app.jobs.status import JobStatus
from app.learning.methods import Hyperparameters, Method
from app.properties.catalogue import Transform

WORKER_MODULE = "workers.run_job"
WORKER_STOP_S = 10.0


def fine_tune(
    data: DataArgument,
    property_key: PropertyOption,
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the model; one that exists gets a new version.")],
    base: Annotated[str, typer.Option(help="NAME, NAME@ALIAS, NAME/VERSION or auto.")] = AUTO,
    method: Annotated[Method, typer.Option(help="How the base model is used.")] = Method.FINE_TUNE,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the method's own.")] = None,
    unit: UnitOption = None,
    transform: TransformOption = None,
    server: Annotated[str | None, typer.Option(help="URL of a server that does it, instead of this machine.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Train a model on DATA and register it. Ctrl-C cancels the job."""

    def request(dataset_id: str) -> FineTuningJobCreate:
        return FineTuningJobCreate(
            dataset_id=dataset_id,
            model_name=name,
            base_model=base,
            method=method,
            hyperparameters=Hyperparameters(max_epochs=max_epochs),
            seed=seed,
        )

    if server is not None:
        fields = {"property": property_key, **({"unit": unit} if unit else {})}
        fields |= {"transform": transform.value} if transform else {}
        with Server(server) as remote:
            uploaded = remote.upload_dataset(data, fields)
            job = follow(_RemoteJob(remote, remote.create_job(request(uploaded["id"])).id))
    else:
        with open_installation(settings_with(data_dir=data_dir)) as local:
            dataset_id = _store_dataset(local, data, property_key, unit, transform)
            with open_session(local.sessions) as session:
                created = FineTuningService(session, local.store, local.settings).create(request(dataset_id), None)
            with _worker(local, created.id):
                job = follow(_LocalJob(local, created.id))
    _print(job, as_json)


class _RemoteJob(JobSource):
    def __init__(self, server: Server, job_id: str) -> None:
        self._server = server
        self._job_id = job_id

    def read(self) -> FineTuningJobRead:
        return self._server.read_job(self._job_id)

    def cancel(self) -> None:
        self._server.cancel_job(self._job_id)


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
        dataset, _ = service.create(data.name, file, property_key, unit=unit, transform=transform)
        report = dataset.report
    stderr.print(f"{report['n_usable']} of {report['n_rows']} rows can be used", highlight=False)
    for warning in report["warnings"]:
        stderr.print(f"- {warning}", markup=False, highlight=False)
    return dataset.id


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
