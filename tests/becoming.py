"""What a process does that was forked where another would have been started: it becomes `python -m MODULE`.

What it starts itself is forked too: the process of a job, those of a bulk prediction's pool, API and worker of
`xtalforge up`. Each is a process of its own, with the parent, the session, the environment and the command line that it
would have; only imports are shared. What an API process starts is started anew: it has threads.
"""

import asyncio
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
from contextlib import suppress
from multiprocessing.context import ForkContext, ForkProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

COMMANDS = "app.cli.main"
_real_exec, _real_start = os.execvp, asyncio.create_subprocess_exec
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
    forking = SimpleNamespace(Popen=_Child, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    for name in ("workers.process", "app.cli.local_job"):
        importlib.import_module(name).subprocess = forking  # type: ignore[attr-defined]
    multiprocessing.get_context = lambda _=None: _Context()  # type: ignore[assignment]
    asyncio.create_subprocess_exec = _start_service  # type: ignore[assignment]
    os.execvp = _exec  # type: ignore[assignment]


def _forget_parent() -> None:
    gc.freeze()
    _let_go_of_files()
    _default_signals()
    atexit._clear()
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]
    multiprocessing.process._current_process = _MAIN_PROCESS  # type: ignore[attr-defined]
    asyncio._set_running_loop(None)
    multiprocessing.process._children.clear()  # type: ignore[attr-defined]
    logging.getLogger().handlers.clear()
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__


def _let_go_of_files() -> None:
    """Of all that the parent holds open. The numbers stay in use: an object of the parent's may yet close its own."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the listing itself
                os.fstat(int(name))
                os.dup2(nothing, int(name), inheritable=False)


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


def _exec(program: str, command: Sequence[str]) -> NoReturn:
    """What `app.cli.launcher` ends with."""
    if _is_module(command):
        become(command[2], command[3:], str(Path.cwd()), dict(os.environ))
    _real_exec(program, list(command))


def _is_module(command: Sequence[str]) -> bool:
    return list(command[:2]) == [sys.executable, "-m"]


class _Child:
    """`subprocess.Popen`, as far as it is used for `python -m MODULE`."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, stdin: int | None = None,
        output: int | None = None, start_new_session: bool = False, process_group: int | None = None,
    ) -> None:  # fmt: skip
        assert _is_module(command) and stdin in (None, subprocess.DEVNULL)
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        signal.set_wakeup_fd(-1)
        if start_new_session:
            os.setsid()
        elif process_group is not None:
            os.setpgid(0, process_group)
        if stdin is not None:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
        become(command[2], command[3:], str(cwd or Path.cwd()), env)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

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


class _Service:
    """`asyncio.subprocess.Process`, as far as the supervisor of services uses it."""

    stdin = None

    def __init__(self, child: _Child) -> None:
        self._child = child
        self.pid, self.terminate, self.kill = child.pid, child.terminate, child.kill

    @property
    def returncode(self) -> int | None:
        return self._child.poll()

    async def wait(self) -> int:
        while (code := self.returncode) is None:
            await asyncio.sleep(_POLL_S)
        return code


async def _start_service(*command: str, stdout: int, **options: Any) -> Any:
    """What the supervisor starts through `app.cli.launcher`; the broker's program is started as it is."""
    is_module = _is_module(command) and _is_module(command[4:])
    if not is_module or "--workers" in command:
        return await _real_start(*command, stdout=stdout, **options)
    return _Service(
        _Child(command, env=options["env"], stdin=options["stdin"], output=stdout, process_group=0)
    )  # fmt: skip


class _Process(ForkProcess):
    def run(self) -> None:
        _default_signals()
        _show("python", "-c", "from multiprocessing.spawn import spawn_main")
        super().run()


class _Context(ForkContext):
    Process = _Process
