"""What the processes of the tests of the pool run, in place of reading and predicting."""

import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from app.bulk.pool import Failure, Marker, Piece, Task


def answer(connection: Connection, folder: Path, marker: Marker) -> None:
    """Rows whose text is `kill` or `hang` do that, `kill once` the first time, `fail` is an error of the process."""
    while (task := connection.recv()) is not None:
        connection.send(_answer(task, folder, marker, connection))


def _answer(task: Task, folder: Path, marker: Marker, connection: Connection) -> object:
    assert task.chunk is not None
    for index, row in enumerate(task.chunk.rows):
        if index in task.excluded:
            continue
        marker.begin(index)
        once = folder / f"killed-{row.line}"
        if row.text == "kill" or (row.text == "kill once" and not once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if row.text == "hang":
            time.sleep(1000)
        if row.text == "fail":
            return Failure(ValueError("no"), "trace")
        marker.end()
    connection.send(Piece(task.chunk.number))
    if any(row.text == "kill between rows" for row in task.chunk.rows):
        os.kill(os.getpid(), signal.SIGKILL)
    return sorted(task.excluded.items())
