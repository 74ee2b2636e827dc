"""Children are labelled, restarted, bound to their parent and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.cli import supervisor as supervisor_module
from app.cli.supervisor import Service, ServiceFailed, Supervisor
from app.core.settings import PROJECT_ROOT

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
DAEMON_PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(600)"
)


def _service(name: str, program: str, grace_s: float = 5.0) -> Service:
    return Service(name, [sys.executable, "-c", program], {}, grace_s=grace_s)


async def _until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_a_dead_child_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_RESTART_DELAY_S", 0.05)
    lines: list[tuple[str, str]] = []
    others = psutil.Process().children()

    async def scenario() -> None:
        supervisor = Supervisor(lambda name, line: lines.append((name, line)))
        await supervisor.start(_service("one", SLEEPER))
        await _until(lambda: lines.count(("one", "up")) == 1)
        [child] = set(psutil.Process().children()) - set(others)
        os.kill(child.pid, signal.SIGKILL)
        await _until(lambda: lines.count(("one", "up")) == 2)
        await supervisor.stop()

    asyncio.run(scenario())
    assert any("signal SIGKILL" in line for _, line in lines)
    assert psutil.Process().children() == others


def test_a_child_that_keeps_dying_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_RESTART_DELAY_S", 0.01)

    async def scenario() -> None:
        supervisor = Supervisor(lambda _name, _line: None)
        task = await supervisor.start(_service("broken", "raise SystemExit(3)"))
        with pytest.raises(ServiceFailed, match="broken"):
            await task
        await supervisor.stop()

    asyncio.run(scenario())


def test_stop_kills_the_deaf_and_what_children_had_started() -> None:
    lines: list[str] = []

    async def scenario() -> float:
        supervisor = Supervisor(lambda _name, line: lines.append(line))
        await supervisor.start(_service("deaf", DEAF, grace_s=0.3))
        await supervisor.start(_service("parent", DAEMON_PARENT))
        await _until(lambda: len(lines) == 2)
        started = time.monotonic()
        await supervisor.stop()
        return time.monotonic() - started

    assert asyncio.run(scenario()) < 5
    daemon_pid = next(int(line) for line in lines if line.isdecimal())
    assert not psutil.pid_exists(daemon_pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds children to the life of their parent")
def test_children_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        "import asyncio, sys\n"
        "from app.cli.supervisor import Service, Supervisor\n"
        "async def main():\n"
        "    s = Supervisor(lambda n, line: open(sys.argv[1], 'w').write(line))\n"
        "    await s.start(Service('child', [sys.executable, '-c', \"import os, time; print(os.getpid(), flush=True); "
        'time.sleep(600)"], {}))\n'
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(pid_file)], cwd=PROJECT_ROOT)
    asyncio.run(_until(lambda: pid_file.is_file() and pid_file.read_text().isdecimal()))
    child = psutil.Process(int(pid_file.read_text()))
    parent.kill()
    parent.wait()
    child.wait(timeout=10)
