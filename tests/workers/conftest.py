import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import pytest
import redis
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import create_engine_for, open_session, session_factory
from app.core.settings import PROJECT_ROOT, BulkSettings, JobSettings, Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.datasets.service import DatasetService
from app.fine_tuning.report_schemas import FineTuningReport
from app.fine_tuning.schemas import FineTuningJobCreate, FineTuningJobRead
from app.fine_tuning.service import FineTuningService
from app.jobs.models import JobEvent
from app.jobs.outbox import dispatch
from app.jobs.queue import JobQueue
from app.jobs.repository import JobRepository
from app.registry.artifact import Artifact
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore, open_store
from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS
from tests.broker import running_broker
from tests.crystals import cscl, rocksalt, zincblende
from tests.forked import Forked, Forks
from tests.s3 import s3_server, s3_url

__all__ = ["s3_server", "s3_url"]

TIMEOUT_S = 60.0

T = TypeVar("T")


def wait_until(probe: Callable[[], T | None], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """The first answer of `probe` that is true; fails naming what was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_s:g} s for {what}")


def poscar(crystal: Crystal) -> str:
    lines = ["crystal", "1.0", *(" ".join(f"{x:.10f}" for x in row) for row in crystal.lattice)]
    symbols = [SYMBOLS[z] for z in crystal.atomic_numbers]
    unique = list(dict.fromkeys(symbols))
    lines += [" ".join(unique), " ".join(str(symbols.count(s)) for s in unique), "Direct"]
    order = sorted(range(len(symbols)), key=lambda i: unique.index(symbols[i]))
    lines += [" ".join(f"{x:.10f}" for x in crystal.fractional_coordinates[i]) for i in order]
    return "\n".join(lines) + "\n"


def binary_compounds(offset: float = 0.0) -> bytes:
    """36 two-element crystals as JSONL, labelled with a smooth made-up bulk modulus in GPa, plus `offset`."""
    rows = []
    for i, cation in enumerate(("Li", "Na", "K", "Rb", "Mg", "Ca")):
        for j, anion in enumerate(("F", "Cl", "Br", "O", "S", "Se")):
            build = (cscl, zincblende, rocksalt)[(i + j) % 3]
            edge = 4.0 + 0.2 * i + 0.15 * j
            crystal = build(edge, cation, anion)
            rows.append(
                {"id": f"{cation}{anion}", "poscar": poscar(crystal), "k_vrh": round(400 / edge + 5 * i + offset, 3)}
            )
    return "\n".join(json.dumps(row) for row in rows).encode()


class Installation:
    """One database, store and broker, as an API process sees them, and the workers started on them."""

    def __init__(self, settings: Settings, forks: Forks | None = None) -> None:
        self.settings = settings
        self.forks = forks
        """Starts the workers at once; without it they start as everywhere."""
        self.engine = create_engine_for(settings.resolved_database_url)
        self.sessions: sessionmaker[Session] = of_tenant(session_factory(self.engine), OPERATOR_SCOPE)
        self.store: ArtifactStore = open_store(settings)
        self.queue = JobQueue(settings.resolved_broker_url)

    def dataset(self, offset: float = 0.0) -> str:
        with open_session(self.sessions) as session:
            service = DatasetService(session, self.store, self.settings)
            return service.create("binaries.jsonl", io.BytesIO(binary_compounds(offset)), "k_vrh", "binaries")[0].id

    def submit(self, send: bool = True, **body: Any) -> str:
        body = {"dataset_id": self.dataset(), "model_name": "mine", "method": "scratch", **body}
        request = FineTuningJobCreate.model_validate(body)
        with open_session(self.sessions) as session:
            job_id = FineTuningService(session, self.store, self.settings).create(request, None).id
        if send:
            assert dispatch(self.sessions, self.settings.jobs, self.queue, [job_id]) == 1
        return job_id

    def job(self, job_id: str) -> FineTuningJobRead:
        with open_session(self.sessions, read_only=True) as session:
            return FineTuningService(session, self.store, self.settings).get(job_id)

    def report(self, job_id: str) -> FineTuningReport:
        with open_session(self.sessions, read_only=True) as session:
            return FineTuningService(session, self.store, self.settings).report(job_id)

    def cancel(self, job_id: str) -> None:
        with open_session(self.sessions) as session:
            FineTuningService(session, self.store, self.settings).cancel(job_id)

    def pause(self, job_id: str) -> None:
        with open_session(self.sessions) as session:
            FineTuningService(session, self.store, self.settings).pause(job_id)

    def resume(self, job_id: str) -> None:
        with open_session(self.sessions) as session:
            FineTuningService(session, self.store, self.settings).resume(job_id)
        assert dispatch(self.sessions, self.settings.jobs, self.queue, [job_id]) == 1

    def retry(self, job_id: str) -> str:
        with open_session(self.sessions) as session:
            again = FineTuningService(session, self.store, self.settings).retry(job_id, None).id
        assert dispatch(self.sessions, self.settings.jobs, self.queue, [again]) == 1
        return again

    def events(self, job_id: str) -> list[JobEvent]:
        with open_session(self.sessions, read_only=True) as session:
            return JobRepository(session).events_after(job_id, 0, 10_000)

    def versions(self, name: str) -> list[ModelVersion]:
        with open_session(self.sessions, read_only=True) as session:
            return RegistryService(session, self.store).list_versions(name, None, 100)[0]

    def artifact(self, version: ModelVersion) -> Artifact:
        with open_session(self.sessions, read_only=True) as session:
            return RegistryService(session, self.store).files.artifact(version)

    def wait_for_epoch(self, job_id: str, attempt: int = 1) -> FineTuningJobRead:
        def probe() -> FineTuningJobRead | None:
            job = self.job(job_id)
            assert not job.status.is_terminal, (job.status, job.status_reason)
            return job if job.progress and job.attempts == attempt else None

        return wait_until(probe, f"an epoch of attempt {attempt}")

    def wait_for_end(self, job_id: str, timeout_s: float = TIMEOUT_S) -> FineTuningJobRead:
        def probe() -> FineTuningJobRead | None:
            job = self.job(job_id)
            return job if job.status.is_terminal else None

        return wait_until(probe, "the job's end", timeout_s)

    def close(self) -> None:
        self.queue.close()
        self.engine.dispose()

    def environment(self) -> dict[str, str]:
        jobs = {f"XTALFORGE_JOBS__{k.upper()}": str(v) for k, v in self.settings.jobs.model_dump().items()}
        jobs["XTALFORGE_BULK__PROCESSES"] = str(self.settings.bulk.processes)
        return {
            **os.environ, **jobs, "PYTHONPATH": str(PROJECT_ROOT), "XTALFORGE_DEVICE": "cpu", "OMP_NUM_THREADS": "1",
            "XTALFORGE_DATA_DIR": str(self.settings.data_dir),
            "XTALFORGE_MODELS_STORE": str(self.settings.models_store),
            "XTALFORGE_DATABASE_URL": self.settings.resolved_database_url,
            "XTALFORGE_STORE_URL": self.settings.resolved_store_url,
            "XTALFORGE_BROKER_URL": self.settings.resolved_broker_url,
        }  # fmt: skip

    def _start_worker(self, output: IO[str]) -> "subprocess.Popen[bytes] | Forked":
        arguments, folder = ["-A", "workers.celery_app", "worker"], self.settings.data_dir.parent
        if self.forks is not None:
            return self.forks.start("celery", arguments, folder, self.environment(), output)
        command = [sys.executable, "-m", "celery", *arguments]
        return subprocess.Popen(
            command, cwd=folder, env=self.environment(), stdout=output, stderr=subprocess.STDOUT
        )  # fmt: skip

    @contextmanager
    def worker(self) -> Iterator[psutil.Process]:
        """A real `celery worker`; what is left of it is killed at the end."""
        log = self.settings.data_dir.parent / f"worker-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = self._start_worker(output)
        tree = psutil.Process(process.pid)
        try:
            wait_until(lambda: "job-watch started" in log.read_text() or process.poll(), f"a worker to start: {log}")
            assert process.poll() is None, log.read_text()
            yield tree
        finally:
            descendants = tree.children(recursive=True) if tree.is_running() else []
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for child in descendants:
                if child.is_running():
                    child.kill()
            print(log.read_text())


def training_processes(worker: psutil.Process) -> list[psutil.Process]:
    """The training processes below a worker."""
    return processes_below(worker, "workers.trainer")


def processes_below(process: psutil.Process, part_of_command: str) -> list[psutil.Process]:
    """Descendants whose command holds this text."""
    found = []
    for descendant in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if part_of_command in " ".join(descendant.cmdline()):
                found.append(descendant)
    return found


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    with running_broker() as url:
        yield url


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """URL of an empty broker."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushall()
    return broker_server


def _installation(
    tmp_path: Path, database_url: str, broker_url: str, forks: Forks, store_url: str | None = None
) -> Installation:
    jobs = JobSettings(lease_s=3, heartbeat_s=0.5, reaper_interval_s=0.5, cancel_poll_s=0.3, max_attempts=3, niceness=0)
    return Installation(
        Settings(
            data_dir=tmp_path / "data", models_store=tmp_path / "models_store", database_url=database_url,
            store_url=store_url, broker_url=broker_url, device="cpu", jobs=jobs, bulk=BulkSettings(processes=1),
        ),
        forks,
    )  # fmt: skip


@pytest.fixture
def installation(tmp_path: Path, sqlite_url: str, broker_url: str, forks: Forks) -> Iterator[Installation]:
    """The embedded kind: SQLite. No worker runs yet."""
    installation = _installation(tmp_path, sqlite_url, broker_url, forks)
    yield installation
    installation.close()


@pytest.fixture
def any_installation(tmp_path: Path, database_url: str, broker_url: str, forks: Forks) -> Iterator[Installation]:
    """Once on SQLite and once on PostgreSQL. No worker runs yet."""
    installation = _installation(tmp_path, database_url, broker_url, forks)
    yield installation
    installation.close()


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str, broker_url: str, s3_url: str, forks: Forks) -> Iterator[Installation]:
    """The kind of several machines: PostgreSQL, and artifacts in S3. No worker runs yet."""
    installation = _installation(tmp_path, postgres_url, broker_url, forks, s3_url)
    yield installation
    installation.close()


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, forks: Forks
) -> Iterator[tuple[Installation, psutil.Process]]:
    """An installation on SQLite with a broker of its own and one worker, for tests that leave both alive."""
    folder = tmp_path_factory.mktemp("served")
    database = folder / "xtalforge.db"
    shutil.copy(sqlite_template, database)
    with running_broker() as broker_url:
        installation = _installation(folder, f"sqlite:///{database}", broker_url, forks)
        with installation.worker() as worker:
            yield installation, worker
        installation.close()
