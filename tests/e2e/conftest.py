import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

from app.core.settings import PROJECT_ROOT
from tests.forked import Forked, Forks
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]

START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Running:
    """`xtalforge up` as a user runs it: a process, its address, its data folder and its log."""

    process: "subprocess.Popen[bytes] | Forked"
    url: str
    data_dir: Path
    log: Path

    def client(self) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def descendant(self, part_of_command: str) -> psutil.Process:
        """The child of `up` itself whose command holds this text."""
        children = psutil.Process(self.process.pid).children()
        alive = [p for p in children if p.status() != psutil.STATUS_ZOMBIE]
        return next(p for p in alive if part_of_command in " ".join(p.cmdline()))


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(data_dir: Path, models_store: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT),
        "XTALFORGE_DATA_DIR": str(data_dir),
        "XTALFORGE_MODELS_STORE": str(models_store),
        "XTALFORGE_DEVICE": "cpu",
        "XTALFORGE_JOBS__LEASE_S": "4",
        "XTALFORGE_JOBS__HEARTBEAT_S": "1",
        "XTALFORGE_JOBS__REAPER_INTERVAL_S": "1",
        "OMP_NUM_THREADS": "1",
    }


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/ready", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def running_up(folder: Path, models_store: Path, *options: str, forks: Forks | None = None) -> Iterator[Running]:
    """Start it on a free port and wait until it is ready; what is left of it is killed at the end.

    With `forks` it is there at once, for tests of what goes on at its address.
    """
    port, log = free_port(), folder / "up.log"
    arguments, variables = ["up", "--port", str(port), *options], environment(folder / "data", models_store)
    process: subprocess.Popen[bytes] | Forked
    with log.open("wb") as output:
        if forks is not None:
            process = forks.start("app.cli.main", arguments, folder, variables, output)
        else:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli.main", *arguments], cwd=folder, env=variables, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
    running = Running(process, f"http://127.0.0.1:{port}", folder / "data", log)
    try:
        wait_for(lambda: process.poll() is not None or is_ready(running.url), f"the service, see {log}")
        assert process.poll() is None, log.read_text()
        yield running
    finally:
        left = running.descendants() if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        for survivor in left:
            if survivor.is_running():
                survivor.kill()
        print(log.read_text())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[Running]:
    with running_up(tmp_path_factory.mktemp("up"), tiny_models) as running:
        yield running
