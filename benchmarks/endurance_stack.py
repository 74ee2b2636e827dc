"""The service as one machine runs it: `xtalforge up` with its broker, on PostgreSQL or SQLite; its processes by kind.

Standard settings, but what the caller asks for; logs are JSON, so that their errors can be counted.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.harness import ROOT
from tests.postgres import PostgresServer, create_database

DATABASES = ("postgres", "sqlite")
JOB_MODULES = ("workers.trainer", "workers.bulk_process", "workers.screening_process")
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 75.0
_BY_SUPERVISOR = ("ended (", "did not stop")
"""What `up` says of its children among their own lines."""


@dataclass(frozen=True)
class Stack:
    """A running service. `database_url` is empty where the service keeps its own SQLite file in `data_dir`."""

    url: str
    data_dir: Path
    log: Path
    database_url: str
    up: psutil.Process
    database: psutil.Process | None

    def processes(self) -> dict[psutil.Process, str]:
        """All that live, with their kind."""
        kinds: dict[int, str] = {self.up.pid: "supervisor"}
        found = {self.up: "supervisor"}
        for process in self.up.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                kind = _kind(" ".join(process.cmdline()), kinds.get(process.ppid(), ""))
                kinds[process.pid] = found[process] = kind  # type: ignore[assignment]
        if self.database is not None:
            with suppress(psutil.NoSuchProcess):
                found |= dict.fromkeys([self.database, *self.database.children(recursive=True)], "database")
        return found

    def of_kind(self, kind: str) -> list[psutil.Process]:
        """The oldest first."""
        return sorted((p for p, found in self.processes().items() if found == kind), key=_born)


def _kind(command: str, parent: str) -> str:
    """Children come after their parents, whose kind is known."""
    modules = {"app.compute": "compute", "app.predictions.pool_worker": "reader", "app.cli.launcher": "starting"}
    modules |= dict.fromkeys(JOB_MODULES, "job")
    for module, kind in modules.items():
        if module in command:
            return kind
    if parent == "job":
        return "job"
    if "valkey-server" in command or "redis-server" in command:
        return "broker"
    if "celery" in command:
        return "worker" if parent == "supervisor" else "worker pool"
    if "uvicorn" in command:
        return "uvicorn" if "--workers" in command else "api"
    return "api" if "spawn_main" in command else "helper"


def _born(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.create_time())
    return 0.0


@contextmanager
def running(folder: Path, port: int, api_workers: int, database: str, settings: Mapping[str, str]) -> Iterator[Stack]:
    """Start it in `folder` and stop it as an administrator does. Raises PostgresUnavailable; SystemExit when it does
    not start, with the end of its log."""
    server = _postgres(folder) if database == "postgres" else None
    url, database_url = f"http://127.0.0.1:{port}", ""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XTALFORGE_DATA_DIR": str(folder / "data")}
    environment |= {"XTALFORGE_DEVICE": "cpu", "XTALFORGE_LOG_FORMAT": "json", "OMP_WAIT_POLICY": "PASSIVE", **settings}
    if server is not None:
        database_url = server.url.replace("postgresql://", "postgresql+psycopg://", 1) + "/xtalforge"
        environment["XTALFORGE_DATABASE_URL"] = database_url
    command = [sys.executable, "-m", "app.cli.main", "up", "--port", str(port), "--api-workers", str(api_workers)]
    log = folder / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_ready(process, url, log)
        database_process = psutil.Process(server.pid) if server is not None else None
        yield Stack(url, folder / "data", log, database_url, psutil.Process(process.pid), database_process)
    finally:
        _stop(process)
        if server is not None:
            server.stop(signal.SIGINT)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _postgres(folder: Path) -> PostgresServer:
    server = PostgresServer(folder / "postgres", is_durable=True)
    (folder / "postgres").mkdir()
    server.create()
    create_database(server.url, "xtalforge")
    return server


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the service did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def errors_in(log: Path) -> tuple[dict[str, int], dict[str, int]]:
    """How often the service logged each error, by logger and event; and lines that are no JSON, by their beginning."""
    errors: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    with log.open(errors="replace") as lines:
        for line in lines:
            service, _, text = line.partition("| ")
            service = service.strip()
            if service not in ("api", "worker") or not text.strip() or text.startswith(_BY_SUPERVISOR):
                continue
            try:
                entry = json.loads(text)
                level = entry["level"]
            except (ValueError, KeyError, TypeError):
                plain[f"{service}: {text.strip()[:100]}"] += 1
                continue
            if level in ("error", "critical"):
                errors[f"{service}: {entry.get('logger')}: {str(entry.get('event'))[:100]}"] += 1
    return dict(errors.most_common(40)), dict(plain.most_common(20))
