"""Programs of this package that start in milliseconds: processes of their own that need not import everything anew.

A server imports what they import and forks for each. Whoever asks hands over module, arguments, environment, folder and
the three standard streams, and is told the process's id and how it ended. `tests/e2e` and `tests/faults` start all of
theirs anew.
"""

import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from app.core.settings import PROJECT_ROOT
from tests.becoming import become

IMPORTED = (
    "alembic.command",
    "app.bulk.answering",
    "app.bulk.worker",
    "app.cli.main",
    "app.learning.training_job",
    "app.main",
    "app.predictions.service",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "kombu.transport.redis",
    "pyarrow.parquet",
    "uvicorn",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "workers.bulk_process",
    "workers.run_job",
    "workers.screening_process",
    "workers.supervisor",
    "workers.trainer",
)
_START_TIMEOUT_S = 120.0
_PROGRAM = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [b"x"], [0, 1, 2])
asked = dict(module="app.cli.main", arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
connection.sendall(json.dumps(asked).encode())
connection.shutdown(socket.SHUT_WR)
sys.exit(int(connection.makefile().read().split()[1]) & 0xFF)
"""


class Forked:
    """A process that the server forked, as far as its `subprocess.Popen` goes."""

    def __init__(self, connection: socket.socket) -> None:
        self._told = connection.makefile()
        connection.close()  # the file goes on
        self._has_ended = threading.Event()
        self.returncode: int | None = None
        self.pid = int(self._told.readline())
        threading.Thread(target=self._wait_for_end, name=f"end of {self.pid}", daemon=True).start()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _wait_for_end(self) -> None:
        with self._told:
            self.returncode = int(self._told.readline() or -signal.SIGKILL)
        self._has_ended.set()


@dataclass(frozen=True)
class Forks:
    """The server. `program` is `xtalforge`, in a folder of its own: `PATH` may begin with that folder."""

    address: Path
    program: Path

    def start(
        self, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], output: IO[Any]
    ) -> Forked:
        """`python -m MODULE ARGUMENTS` with nothing to read; all that it prints goes to `output`."""
        asked = {"module": module, "arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.address))
        with Path(os.devnull).open() as nothing:
            socket.send_fds(connection, [b"x"], [nothing.fileno(), output.fileno(), output.fileno()])
        connection.sendall(json.dumps(asked).encode())
        connection.shutdown(socket.SHUT_WR)
        return Forked(connection)


@contextmanager
def running_forks(folder: Path) -> Iterator[Forks]:
    """The server; paths of sockets must be short, so the folder's has to be."""
    address, program = folder / "socket", folder / "bin" / "xtalforge"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    # The last word is room for the command lines of the forked.
    command = [sys.executable, "-m", __name__, str(address), "." * 400]
    server = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not address.exists():
            assert server.poll() is None and time.monotonic() < deadline, "the server that forks does not start"
            time.sleep(0.05)
        yield Forks(address, program)
    finally:
        server.terminate()
        server.wait(10)


def _serve(address: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    # It makes an application of the settings it finds.
    del sys.modules["app.main"]
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    _see_to(connection)


def _see_to(connection: socket.socket) -> NoReturn:
    """Start a process, say which, wait for its end and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    asked: dict[str, Any] = json.loads(connection.makefile().read())
    child = os.fork()
    if child == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        become(**asked)
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
