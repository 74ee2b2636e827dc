"""An installation of real processes: database, broker, store, API and workers, all of which may die at any time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.cli.broker import free_port
from app.cli.up import api_command
from app.core.db import upgrade_to_head
from app.core.settings import BulkSettings, InferenceSettings, JobSettings, Settings
from tests.faults.points import FOLDER_VARIABLE, Point, disarm
from tests.faults.servers import Broker, open_database
from tests.faults.worker import CLOCK_VARIABLE
from tests.workers.conftest import Installation, processes_below

LEASE_S = 5.0
JOBS = JobSettings(
    niceness=0,
    lease_s=LEASE_S, heartbeat_s=0.5, reaper_interval_s=0.5, cancel_poll_s=0.3,
    # Here jobs lose their worker far more often than any job may in service.
    max_attempts=1000,
)  # fmt: skip
WORK_MODULES = ("workers.trainer", "workers.bulk_process")


@dataclass(slots=True)
class Started:
    """A process of the product, and what it has started."""

    process: "subprocess.Popen[bytes]"

    @property
    def root(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """The main process first."""
        with suppress(psutil.NoSuchProcess):
            return [self.root, *self.root.children(recursive=True)]
        return []


@dataclass(slots=True)
class Worker(Started):
    """One `celery worker`: the main process, its pool process, and the process that does the work of a job."""

    clock_s: float

    def at_work(self) -> list[psutil.Process]:
        """Processes that do the work of a job; at most one outside of moments of change."""
        with suppress(psutil.NoSuchProcess):
            return [process for module in WORK_MODULES for process in processes_below(self.root, module)]
        return []


@dataclass(slots=True)
class _Later:
    due: float
    action: Callable[[], None]


class Stack:
    """Everything lies in `folder`, which is emptied."""

    def __init__(self, kind: str, folder: Path, n_workers: int = 2) -> None:
        self.folder = folder
        self.n_workers = n_workers
        self.workers: list[Worker] = []
        self.api: Started | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._left: list[psutil.Process] = []
        self._later: list[_Later] = []
        self.database = open_database(kind, folder)
        upgrade_to_head(self.database.url)
        self.broker = Broker(folder / "broker")
        self.broker.start()
        self.points, self.logs = folder / "points", folder / "logs"
        self.points.mkdir()
        self.logs.mkdir()
        self.here = Installation(
            Settings(
                data_dir=folder / "data", models_store=folder / "models_store", device="cpu", jobs=JOBS,
                database_url=self.database.url, broker_url=self.broker.url, bulk=BulkSettings(processes=1),
                # Nothing is predicted here but in jobs.
                inference=InferenceSettings(pool_size=0), port=free_port(),
            )
        )  # fmt: skip

    def spawn_worker(self, clock_s: float = 0.0) -> Worker:
        """Start one more, its clock wrong by `clock_s`; it is ready some seconds later."""
        command = [sys.executable, "-m", "celery", "-A", "tests.faults.worker", "worker"]
        clock = {CLOCK_VARIABLE: str(clock_s)} if clock_s else {}
        worker = Worker(self._spawn("worker", command, clock), clock_s)
        self.workers.append(worker)
        return worker

    def _spawn(self, name: str, command: list[str], more: dict[str, str]) -> "subprocess.Popen[bytes]":
        environment = {**self.here.environment(), FOLDER_VARIABLE: str(self.points), **more}
        with (self.logs / f"{name}-{time.time_ns()}.log").open("wb") as output:
            process = subprocess.Popen(
                command, cwd=self.logs, env=environment, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def keep_processes(self) -> None:
        """What `xtalforge up`, systemd or an orchestrator do: who died is replaced."""
        if self.api is None or not self.api.is_alive():
            command = api_command(self.here.settings, "tests.faults.api:app")
            inference = {"XTALFORGE_INFERENCE__POOL_SIZE": "0"}
            self.api = Started(self._spawn("api", command, inference))
        self.workers = [worker for worker in self.workers if worker.is_alive()]
        while len(self.workers) < self.n_workers:
            self.spawn_worker()

    def go_on(self) -> None:
        """What happens by itself: faults end, who died is replaced."""
        self.run_due()
        self.keep_processes()

    def replace(self, worker: Worker, *, kill: bool, whole_tree: bool = True, clock_s: float = 0.0) -> None:
        """End a worker, by SIGKILL or as planned, and start the next one at once."""
        tree = worker.tree()
        self._end(tree if kill and whole_tree else tree[:1], signal.SIGKILL if kill else signal.SIGTERM)
        self._left += tree
        self.workers.remove(worker)
        self.spawn_worker(clock_s)

    def end_api(self, number: signal.Signals) -> None:
        """The main process of the API gets a signal; what it has started must end by itself."""
        if self.api is not None:
            self._left += self.api.tree()
            self._end(self.api.tree()[:1], number)

    def _end(self, processes: list[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Undo a fault after a while; `heal` does at the latest."""
        self._later.append(_Later(time.monotonic() + delay_s, action))

    def run_due(self, *, everything: bool = False) -> None:
        now = time.monotonic()
        due = [each for each in self._later if everything or each.due <= now]
        self._later = [each for each in self._later if each not in due]
        for each in due:
            each.action()

    def heal(self) -> None:
        """End every fault but armed points, which do no more harm than the first process that comes along takes."""
        self.run_due(everything=True)
        for worker in [worker for worker in self.workers if worker.clock_s]:
            self.replace(worker, kill=False)
        self.keep_processes()

    def disarm(self) -> list[Point]:
        """The points that nothing came along."""
        return [point for point in Point if disarm(self.points, point)]

    def processes_left(self) -> list[str]:
        """Processes of jobs that outlived them, and of workers that were replaced."""
        of_jobs = [process for worker in self.workers for process in worker.at_work()]
        return [_described(process) for process in (*of_jobs, *self._left) if _is_alive(process)]

    def close(self) -> None:
        """End everything."""
        self.run_due(everything=True)
        mains = [*self.workers, self.api] if self.api is not None else self.workers
        for process in [*(p for main in mains for p in main.tree()), *self._left]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self._started:
            started.wait()
        self.here.close()
        self.broker.kill()
        self.database.stop()


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, ChildProcessError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.is_running()
        with suppress(OSError):
            os.waitpid(process.pid, os.WNOHANG)
    return False


def _described(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return f"{process.pid}: {' '.join(process.cmdline())[:200]}"
    return str(process.pid)
