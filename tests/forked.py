"""`xtalforge` as a program that starts in milliseconds: processes of their own that need not import everything anew.

A server imports what commands import and forks for each. The program in front of it hands over its arguments,
environment, folder and the three standard streams, and ends with the status the command ended with. It does not pass
signals on.
"""

import atexit
import importlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from app.core.settings import PROJECT_ROOT

IMPORTED = (
    "app.cli.main",
    "app.learning.training_job",
    "app.predictions.service",
    "alembic.command",
    "pyarrow.parquet",
)
_START_TIMEOUT_S = 120.0
_PROGRAM = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [b"x"], [0, 1, 2])
asked = dict(arguments=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
connection.sendall(json.dumps(asked).encode())
connection.shutdown(socket.SHUT_WR)
sys.exit(int(connection.makefile().read() or 1))
"""


@contextmanager
def forked_commands(folder: Path) -> Iterator[Path]:
    """The program, in a folder of its own: `PATH` may begin with that folder."""
    address, program = folder / "socket", folder / "bin" / "xtalforge"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", __name__, str(address)]
    server = subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not address.exists():
            assert server.poll() is None and time.monotonic() < deadline, "the server of commands does not start"
            time.sleep(0.05)
        yield program
    finally:
        server.terminate()
        server.wait(10)


def _serve(address: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            with connection:
                if os.fork() == 0:
                    listening.close()
                    _wait_for_command(connection)


def _wait_for_command(connection: socket.socket) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    asked = json.loads(connection.makefile().read())
    child = os.fork()
    if child == 0:
        connection.close()
        _become(asked, streams)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status) & 0xFF).encode())
    os._exit(0)


def _become(asked: dict[str, Any], streams: list[int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = ["xtalforge", *asked["arguments"]]
    status: object = 1
    try:
        importlib.import_module("app.cli.main").app()
    except SystemExit as end:
        status = end.code
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
        sys.excepthook(*sys.exc_info())
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    _serve(sys.argv[1])
