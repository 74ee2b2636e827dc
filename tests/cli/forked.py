"""Commands of `xtalforge` in processes of their own that need not import everything anew.

A server imports what commands import and forks for each: a command starts in milliseconds, with its own arguments,
environment, folder and output, and ends as any process does. It takes one line of JSON for each command.
"""

import atexit
import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.core.settings import PROJECT_ROOT

IMPORTED = (
    "app.cli.main",
    "app.learning.training_job",
    "app.predictions.service",
    "alembic.command",
    "pyarrow.parquet",
)


class Commands:
    """The client's side."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, arguments: Sequence[str], cwd: Path, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """As `subprocess.run` with `capture_output` and `text`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / "out", Path(folder) / "err"]
            asked = {"arguments": list(arguments), "cwd": str(cwd), "env": env, "files": [str(file) for file in files]}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            status = os.waitstatus_to_exitcode(int(self._process.stdout.readline()))
            return subprocess.CompletedProcess(list(arguments), status, *(file.read_text() for file in files))


@contextmanager
def command_server() -> Iterator[Commands]:
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Commands(process)
    finally:
        process.communicate(timeout=10)


def _serve() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        print(os.waitpid(child, 0)[1], flush=True)


def _become(asked: dict[str, Any]) -> None:
    status: object = 1
    for descriptor, path in zip((1, 2), asked["files"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["xtalforge", *asked["arguments"]]
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
    _serve()
