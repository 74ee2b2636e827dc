"""The jobs of a campaign, submitted as a client does: with a key of its own, again and again until it has an answer."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy.exc import InterfaceError, OperationalError

import app.bulk.service as bulk_service_module
from app.bulk.schemas import ModelChoice
from app.bulk.service import BulkService
from app.core.db import open_session
from app.core.settings import Settings
from app.fine_tuning.schemas import FineTuningJobCreate
from app.fine_tuning.service import FineTuningService
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.outbox import dispatch
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.learning.methods import Method
from app.predictions.directory import ModelDirectory
from tests.workers.conftest import Installation, binary_compounds

BASE_MODEL = "base"
BULK_ROWS, BULK_CHUNK = 120, 15
DATABASE_PATIENCE_S = 60.0
SHORT = {"max_epochs": 10, "batch_size": 4}
LONG = {"max_epochs": 40, "batch_size": 4}

T = TypeVar("T")

# A plain fork would have the threads of the store's library missing; a fresh interpreter takes seconds to import all.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.workload"])


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for. Jobs of one label must all come to the same weights or the same lines."""

    label: str
    request: dict[str, Any] | None
    """Of a fine-tuning job; None = a bulk prediction."""

    @property
    def kind(self) -> JobKind:
        return JobKind.BULK_PREDICTION if self.request is None else JobKind.FINE_TUNING


BASE_TASK = Task(BASE_MODEL, {"method": Method.SCRATCH, "seed": 100, "hyperparameters": SHORT})
TASKS = (
    Task("scratch-short", {"method": Method.SCRATCH, "seed": 1, "hyperparameters": SHORT}),
    Task("scratch-long", {"method": Method.SCRATCH, "seed": 2, "hyperparameters": LONG}),
    Task("tuned", {"method": Method.FINE_TUNE, "base_model": f"{BASE_MODEL}/1", "seed": 3, "hyperparameters": LONG}),
    Task("lasso", {"method": Method.LASSO, "seed": 4}),
    Task("bulk", None),
)


class Death(StrEnum):
    """Where the process that takes a request dies."""

    BEFORE_COMMIT = "before the commit"
    BEFORE_SEND = "between the commit and the message"
    AFTER_SEND = "between the message and the note that it left"


@dataclass(slots=True)
class Submitted:
    """A request and what may become of it beside success."""

    key: str
    task: Task
    model: str
    job_id: str = ""
    may_end_as: set[JobStatus] = field(default_factory=lambda: {JobStatus.SUCCEEDED})
    may_fail_with: set[str] = field(default_factory=set)


class Client:
    """Requests to an installation. Every job of a fine-tuning task trains on the same small data set."""

    def __init__(self, here: Installation, meanwhile: Callable[[], None]) -> None:
        """`meanwhile` is called while the database is away."""
        self.here = here
        self._meanwhile = meanwhile
        self.dataset_id = here.dataset()
        self._file = _bulk_file()
        bulk_service_module.CHUNK_ROWS = BULK_CHUNK

    def submit(self, request: Submitted) -> None:
        request.job_id = self.patiently(lambda: create(self.here, request, self.dataset_id, self._file))
        job_ids = [request.job_id]
        self.patiently(lambda: dispatch(self.here.sessions, self.here.settings.jobs, self.here.queue, job_ids))

    def submit_to_dying_process(self, request: Submitted, death: Death) -> None:
        """The process that takes the request is killed; the client asks again, with the same key."""
        child = _processes.Process(
            target=_die, args=(self.here.settings, self.dataset_id, self._file, request, death), daemon=True
        )
        child.start()
        child.join(DATABASE_PATIENCE_S)
        child.kill()
        child.join()
        request.job_id = self.patiently(lambda: create(self.here, request, self.dataset_id, self._file))

    def job(self, job_id: str) -> Job:
        def read() -> Job:
            with open_session(self.here.sessions, read_only=True) as session:
                return JobService(session, self.here.settings.jobs).get(job_id)

        return self.patiently(read)

    def patiently(self, action: Callable[[], T]) -> T:
        """The answer, asked for again while the database is away."""
        deadline = time.monotonic() + DATABASE_PATIENCE_S
        while True:
            try:
                return action()
            except (OperationalError, InterfaceError):
                if time.monotonic() > deadline:
                    raise
                self._meanwhile()
                time.sleep(0.2)

    def lines_digest(self, job_id: str) -> str:
        """sha256 of the lines of a bulk prediction, in order."""
        here = self.here
        service = BulkService(here.sessions, here.store, here.settings, ModelDirectory(here.sessions, here.store))
        lines = pa.concat_tables(list(service.results(job_id, is_partial=False))).to_pylist()
        return hashlib.sha256(json.dumps(lines, sort_keys=True, default=str).encode()).hexdigest()


def _die(settings: Settings, dataset_id: str, file: bytes, request: Submitted, death: Death) -> None:
    """What a process does that is killed while it takes a request."""
    try:
        bulk_service_module.CHUNK_ROWS = BULK_CHUNK
        here = Installation(settings)
        before_commit = _kill_self if death is Death.BEFORE_COMMIT else None
        job_id = create(here, request, dataset_id, file, before_commit)
        if death is Death.AFTER_SEND:
            here.queue.send(job_id)
    finally:
        _kill_self()


def create(
    here: Installation,
    request: Submitted,
    dataset_id: str,
    file: bytes,
    before_commit: Callable[[], None] | None = None,
) -> str:
    """What a route does before it answers; the id of the job."""
    if request.task.request is None:
        service = BulkService(here.sessions, here.store, here.settings, ModelDirectory(here.sessions, here.store))
        if before_commit is not None:  # the input is stored by then
            service._create = lambda *_: before_commit()  # type: ignore[assignment,method-assign,return-value]
        choice = ModelChoice(models=[f"{BASE_MODEL}/1"])
        return service.create_from_file("rows.jsonl", io.BytesIO(file), choice, request.key).id
    body = {"dataset_id": dataset_id, "model_name": request.model, **request.task.request}
    with open_session(here.sessions) as session:
        tuning = FineTuningService(session, here.store, here.settings)
        job_id = tuning.create(FineTuningJobCreate.model_validate(body), request.key).id
        if before_commit is not None:
            before_commit()
    return job_id


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _bulk_file() -> bytes:
    """Crystals for a bulk prediction as JSONL; every tenth cannot be read."""
    crystals = [json.loads(line)["poscar"] for line in binary_compounds().splitlines()]
    rows = (
        {"id": f"row-{i}", "poscar": "nonsense" if i % 10 == 3 else crystals[i % len(crystals)]}
        for i in range(BULK_ROWS)
    )
    return "\n".join(map(json.dumps, rows)).encode()
