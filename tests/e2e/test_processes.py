"""What `xtalforge up` does with its processes, whatever happens to them or to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Running, environment, is_ready, running_up, wait_for

STOP_S = 10.0


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_it_says_where_it_is(service: Running) -> None:
    wait_for(lambda: f"{service.url}/docs" in service.log.read_text(), "the address in the log", 10)


def test_a_dead_worker_and_a_dead_broker_come_back(service: Running) -> None:
    for part in ("workers.celery_app", "valkey"):
        victim = service.descendant(part)
        family = [victim, *victim.children(recursive=True)]
        victim.kill()
        wait_for(lambda v=family: _gone(v), f"the end of {part}", 10)  # type: ignore[misc]

        def is_back(part: str = part, old: int = victim.pid) -> bool:
            try:
                return service.descendant(part).pid != old
            except (StopIteration, psutil.NoSuchProcess):
                return False

        wait_for(is_back, f"a new {part}", 20)
    zombies = [p for p in psutil.Process(service.process.pid).children() if p.status() == psutil.STATUS_ZOMBIE]
    assert zombies == []
    assert is_ready(service.url)


def test_a_second_one_on_the_same_folder_or_port_is_refused(service: Running, tmp_path: Path) -> None:
    port = service.url.rsplit(":", 1)[1]
    for data_dir, arguments, reason in (
        (service.data_dir, [], "Another `xtalforge up` runs"),
        (tmp_path / "other", ["--port", port], "cannot listen on"),
    ):
        second = subprocess.run(
            [sys.executable, "-m", "app.cli.main", "up", *arguments],
            env=environment(data_dir, tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert reason in " ".join(second.stderr.split()) and "Traceback" not in second.stderr


def test_sigterm_to_the_group_leaves_nobody(tmp_path: Path, tiny_models: Path) -> None:
    with running_up(tmp_path, tiny_models) as running:
        family = running.descendants()
        assert len(family) >= 3
        os.killpg(os.getpgid(running.process.pid), signal.SIGTERM)
        assert running.process.wait(STOP_S) == 0
        assert _gone(family)
    assert "Traceback" not in running.log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds children to the life of their parent")
def test_nobody_outlives_a_killed_up(tmp_path: Path, tiny_models: Path) -> None:
    with running_up(tmp_path, tiny_models) as running:
        family = running.descendants()
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + 20
        while not _gone(family) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert _gone(family), [p.cmdline() for p in family if p.is_running()]
