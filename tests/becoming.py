"""What a process does that was forked where another would have been started: it becomes `python -m MODULE`.

What it starts itself, a job's process or a pool's, is forked too, from a process with one thread. Each is a process of
its own, with the parent, the session, the environment and the command line that it would have; only imports are shared.
"""

import atexit
import contextvars
import ctypes
import gc
import importlib
import logging
import multiprocessing
import multiprocessing.util
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

COMMANDS = "app.cli.main"
_MAIN_PROCESS = multiprocessing.current_process()
_POLL_S = 0.02


def become(module: str, arguments: Sequence[str], folder: str, environment: Mapping[str, str]) -> NoReturn:
    """Run the module as if this were a new process; standard streams and session are as they shall be."""
    status: object = 1
    try:
        _forget_parent()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        _show("python", "-m", module, *arguments)
        _fork_what_it_starts()
        contextvars.Context().run(_run, module, arguments)
        status = None
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if isinstance(status, str):
        os.write(2, f"{status}\n".encode())
    os._exit(status if isinstance(status, int) else int(status is not None))


def _run(module: str, arguments: Sequence[str]) -> None:
    if module == COMMANDS:
        sys.argv = ["xtalforge", *arguments]
        importlib.import_module(module).app()
        return
    sys.argv = [module, *arguments]
    if not hasattr(sys.modules.get(module), "__path__"):
        sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _fork_what_it_starts() -> None:
    process = importlib.import_module("workers.process")
    process.subprocess = SimpleNamespace(  # type: ignore[attr-defined]
        Popen=_Child, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )
    multiprocessing.get_context = lambda _=None: _Context()  # type: ignore[assignment]


def _forget_parent() -> None:
    # What the parent held open is never closed here: by then the number may be another file's.
    gc.freeze()
    _default_signals()
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]
    multiprocessing.process._current_process = _MAIN_PROCESS  # type: ignore[attr-defined]
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]
    logging.getLogger().handlers.clear()
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__


def _default_signals() -> None:
    """As a new interpreter has them."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _show(*words: str) -> None:
    """Write these over the command line that others see of this process."""
    if sys.platform != "linux":
        return
    numbers = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(numbers[45]), int(numbers[46])
    text = "\0".join(words).encode()[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


class _Child:
    """`subprocess.Popen` for what `workers.process` starts."""

    def __init__(
        self, command: Sequence[str], *, stdin: int, start_new_session: bool, env: Mapping[str, str], cwd: Path
    ) -> None:
        assert command[:2] == [sys.executable, "-m"] and stdin == subprocess.DEVNULL
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            if start_new_session:
                os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            become(command[2], command[3:], str(cwd), env)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(_POLL_S)
        assert self.returncode is not None
        return self.returncode


class _Process(ForkProcess):
    def run(self) -> None:
        _default_signals()
        _show("python", "-c", "from multiprocessing.spawn import spawn_main")
        super().run()


class _Context(ForkContext):
    Process = _Process
