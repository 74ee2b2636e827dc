"""The jobs of a campaign, submitted as a client does: with a key of its own, again and again until it has an answer."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import pyarrow as pa
from sqlalchemy.exc import InterfaceError, OperationalError

from app.bulk.service import BulkService
from app.core.db import open_session
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.learning.methods import Method
from app.predictions.directory import ModelDirectory
from tests.workers.conftest import Installation, binary_compounds

BASE_MODEL = "base"
BULK_ROWS = 120
ANSWER_TIMEOUT_S = 5.0
"""A client that has waited this long asks again, with the same key."""
PATIENCE_S = 60.0
SHORT = {"max_epochs": 10, "batch_size": 4}
LONG = {"max_epochs": 150, "batch_size": 4, "patience": 150}
ROUTES = {JobKind.FINE_TUNING: "/v1/fine-tuning/jobs", JobKind.BULK_PREDICTION: "/v1/bulk-predictions"}
CONFLICT, UNAVAILABLE = HTTPStatus.CONFLICT.value, HTTPStatus.SERVICE_UNAVAILABLE.value

T = TypeVar("T")


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
    """Requests to the API of an installation. Every job of a fine-tuning task trains on the same small data set."""

    def __init__(self, here: Installation, meanwhile: Callable[[], None]) -> None:
        """`meanwhile` is called while the API or the database is away."""
        self.here = here
        self._surprises: list[str] = []
        self._meanwhile = meanwhile
        self._url = f"http://127.0.0.1:{here.settings.port}"
        self._bulk_file = _bulk_file()
        self._dataset_id = ""

    def upload_dataset(self) -> None:
        files = {"file": ("binaries.jsonl", binary_compounds())}
        self._dataset_id = self._answer("/v1/datasets", {"files": files, "data": {"property": "k_vrh"}}).json()["id"]

    def submit(self, request: Submitted) -> None:
        headers = {"Idempotency-Key": request.key}
        if request.task.request is None:
            body: dict[str, Any] = {
                "files": {"file": ("rows.jsonl", self._bulk_file)}, "data": {"models": f"{BASE_MODEL}/1"}
            }  # fmt: skip
        else:
            body = {"json": {"dataset_id": self._dataset_id, "model_name": request.model, **request.task.request}}
        request.job_id = self._answer(ROUTES[request.task.kind], {**body, "headers": headers}).json()["id"]

    def ask(self, request: Submitted, wish: str) -> bool:
        """`cancel`, `pause` or `resume` a job; False when its state does not allow that."""
        path = f"{ROUTES[request.task.kind]}/{request.job_id}/{wish}"
        return self._answer(path, {}, CONFLICT).status_code != CONFLICT

    def take_surprises(self) -> list[str]:
        """Answers since the last time that no client should get, whatever is away."""
        found, self._surprises = self._surprises, []
        return found

    def _answer(self, path: str, request: dict[str, Any], *others: int) -> httpx.Response:
        """Ask until there is an answer: a success, or one of these other statuses. Whatever else is a surprise."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = httpx.post(
                    self._url + path, timeout=ANSWER_TIMEOUT_S, trust_env=False, verify=False, **request
                )
            except httpx.TransportError as error:
                reason = repr(error)
            else:
                if answer.is_success or answer.status_code in others:
                    return answer
                reason = f"{path}: {answer.status_code} {answer.text[:300]}"
                if answer.status_code != UNAVAILABLE or "retry-after" not in answer.headers:
                    self._surprises.append(reason)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the API has not answered for {PATIENCE_S:g} s: {reason}")
            self._meanwhile()
            time.sleep(0.2)

    def job(self, job_id: str) -> Job:
        def read() -> Job:
            with open_session(self.here.sessions, read_only=True) as session:
                return JobService(session, self.here.settings.jobs).get(job_id)

        return self.patiently(read)

    def patiently(self, action: Callable[[], T]) -> T:
        """The answer of the database, asked for again while it is away."""
        deadline = time.monotonic() + PATIENCE_S
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


def _bulk_file() -> bytes:
    """Crystals for a bulk prediction as JSONL; every tenth cannot be read."""
    crystals = [json.loads(line)["poscar"] for line in binary_compounds().splitlines()]
    rows = (
        {"id": f"row-{i}", "poscar": "nonsense" if i % 10 == 3 else crystals[i % len(crystals)]}
        for i in range(BULK_ROWS)
    )
    return "\n".join(map(json.dumps, rows)).encode()
