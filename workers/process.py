"""The process that does the work of a job: started, listened to and stopped, never trusted to answer."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from app.core.logging import log_context
from app.core.settings import PROJECT_ROOT
from workers.attempt import EVENTS_FILE, PARENT_PID_VARIABLE

GRACE_S = 1.5
_NICEST = 19


class JobProcess:
    """`python -m MODULE FOLDER` in a session, and so in a process group, of its own.

    A pool process of Celery is daemonic and may have no multiprocessing children, hence a plain subprocess; a fresh
    interpreter also starts without any thread or CUDA state of its parent.
    """

    def __init__(self, module: str, folder: Path, niceness: int = 0) -> None:
        """`niceness` as of `JobSettings`."""
        self._folder = folder
        self._read_bytes = 0
        self._process = subprocess.Popen(  # noqa: S603 - our own modules, started with a folder of our own
            [sys.executable, "-m", module, str(folder)], stdin=subprocess.DEVNULL,
            start_new_session=True, env=_environment(), cwd=folder,
        )  # fmt: skip
        _stand_back(self._process.pid, niceness)

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, negative when a signal ended it; None while it runs."""
        return self._process.poll()

    def unread_events(self) -> tuple[list[dict[str, Any]], int]:
        """Complete events not marked as read yet, and the position to pass to `mark_read` once they are stored."""
        path = self._folder / EVENTS_FILE
        if not path.is_file():
            return [], self._read_bytes
        with path.open("rb") as file:
            file.seek(self._read_bytes)
            chunk = file.read()
        complete = chunk[: chunk.rfind(b"\n") + 1]
        return [json.loads(line) for line in complete.splitlines()], self._read_bytes + len(complete)

    def mark_read(self, position: int) -> None:
        self._read_bytes = position

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End the whole group: asked first when there is a grace, then killed. Returns when the process is gone."""
        if grace_s > 0 and self.poll() is None:
            self._signal_group(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        self._signal_group(signal.SIGKILL)
        self._process.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(self._process.pid, number)


def _stand_back(pid: int, niceness: int) -> None:
    """Before it has made threads or processes, which inherit it. Where Linux shares cores out to sessions first
    (autogroup), what counts is the niceness of the session; the file is absent elsewhere."""
    if not niceness:
        return
    with contextlib.suppress(OSError):  # it may have ended
        os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, pid) + niceness, _NICEST))
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def _environment() -> dict[str, str]:
    """The worker's environment without its addresses and passwords: the work needs files only.

    Threads that wait do not spin: on a busy machine spinning makes a training several times longer.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XTALFORGE_", "AWS_"))}
    path = os.pathsep.join(part for part in (str(PROJECT_ROOT), kept.get("PYTHONPATH", "")) if part)
    own = {"PYTHONPATH": path, PARENT_PID_VARIABLE: str(os.getpid())}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, **own, **log_context()}
