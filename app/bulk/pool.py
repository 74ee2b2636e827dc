"""Processes that work on chunks, one each at a time: killed, crashed and hanging ones are replaced.

Own processes instead of an executor's, because of a lost process one must know which chunk and which row it was at.
"""

import multiprocessing as mp
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from app.bulk.chunks import Chunk
from app.bulk.reading import Problem
from app.core.errors import XtalforgeError
from app.core.logging import get_logger
from app.core.processes import die_with_parent

ROW_TIMEOUT_S = 60.0
POLL_S, STARVING_POLL_S = 0.2, 0.05
STOP_S = 5.0
MAX_LOSSES = 3
_LONGEST_STEP_S = 1.0
_NO_ROW = -1

log = get_logger(__name__)

CRASHED: Problem = (
    "input_crashed",
    "Reading this input ended the process that did it, twice: most often it needs more memory than there is.",
)
TIMED_OUT: Problem = ("input_timed_out", f"Reading this input took more than {ROW_TIMEOUT_S:g} s.")


class ProcessesLost(XtalforgeError):
    code, title = "out_of_memory", "The processes were ended from outside"


@dataclass(slots=True)
class Task:
    """A chunk, or with None the order to count the rows. `attempt` counts how often a process began it."""

    chunk: Chunk | None
    excluded: dict[int, Problem] = field(default_factory=dict)
    losses: dict[int, int] = field(default_factory=dict)
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a task's answer; more follows."""

    content: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a process cannot go on, which no single row is the cause of."""

    error: Exception
    trace: str


class Marker:
    """Which row a process is at, and since when; shared between two processes."""

    def __init__(self, context: Any) -> None:
        self._cells = context.RawArray("d", [_NO_ROW, 0.0])

    def begin(self, index: int) -> None:
        self._cells[1] = time.monotonic()
        self._cells[0] = index

    def end(self) -> None:
        self._cells[0] = _NO_ROW

    def place(self) -> tuple[int, float] | None:
        """Index of the row in its chunk and when it was begun; None between rows."""
        index = int(self._cells[0])
        return (index, float(self._cells[1])) if index != _NO_ROW else None


Main = Callable[[Connection, Path, Marker], None]
"""What a process runs, a module-level function: it gets tasks until None, and answers each with any number of `Piece`
and then one thing else, or with a `Failure`."""


class _Worker:
    """One process; `task` is what it is at, `waited_s` for how long it has been seen at the same row."""

    def __init__(self, context: Any, main: Main, folder: Path) -> None:
        self.marker = Marker(context)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_run, args=(main, theirs, folder, self.marker, os.getpid()), name="bulk", daemon=True
        )
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.waited_s = 0.0
        self._seen: tuple[int, float] | None = None

    def give(self, task: Task) -> bool:
        """False when the process is gone."""
        self.task = task
        task.attempt += 1
        self.marker.end()
        try:
            self.connection.send(task)
        except OSError:
            return False
        return True

    def look(self, step_s: float) -> None:
        place = self.marker.place() if self.task is not None else None
        self.waited_s = self.waited_s + step_s if place is not None and place == self._seen else 0.0
        self._seen = place

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Source:
    """Tasks with one looked at ahead, so that it is read while the processes work."""

    def __init__(self, tasks: Iterator[Task | None]) -> None:
        self._tasks = tasks
        self._next: Task | None = None
        self.is_through = False

    def take(self) -> Task | None:
        self.look_ahead()
        task, self._next = self._next, None
        return task

    def look_ahead(self) -> None:
        if self._next is None and not self.is_through:
            try:
                self._next = next(self._tasks)
            except StopIteration:
                self.is_through = True


class Pool:
    """Runs tasks in `n_processes` fresh interpreters (spawn); use it as a context manager.

    A chunk whose process was lost is begun again by another; a row at which that happened twice is excluded, and so is
    one that takes longer than ROW_TIMEOUT_S.
    """

    def __init__(self, main: Main, folder: Path, n_processes: int) -> None:
        self._context = mp.get_context("spawn")
        self._main, self._folder = main, folder
        self._workers = [self._start() for _ in range(n_processes)]
        self._again: deque[Task] = deque()
        self._looked_at = time.monotonic()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        grace_s = STOP_S if all(worker.task is None for worker in self._workers) else 0.0
        for worker in self._workers:
            if grace_s:
                with suppress(OSError):
                    worker.connection.send(None)
        deadline = time.monotonic() + grace_s
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.kill()

    def run(self, tasks: Iterator[Task | None], should_stop: Callable[[], bool]) -> Iterator[tuple[Task, Any]]:
        """Each task's answers as they come, until all tasks are done or it is told to stop.

        At most one task beyond those that are worked on is taken from `tasks`; None there means that none is to be had
        at the moment. Raises ProcessesLost, and the errors of the processes.
        """
        source = _Source(tasks)
        while not should_stop():
            for worker in [worker for worker in self._workers if worker.task is None]:
                task = self._again.popleft() if self._again else source.take()
                if task is None:
                    break
                if not worker.give(task):
                    self._replace(worker)
            source.look_ahead()
            idle = [worker for worker in self._workers if worker.task is None]
            if len(idle) == len(self._workers) and source.is_through and not self._again:
                return
            yield from self._received(STARVING_POLL_S if idle and not source.is_through else POLL_S)
            self._give_up_hanging_rows()

    def _received(self, longest_s: float) -> Iterator[tuple[Task, Any]]:
        by_connection: dict[Any, _Worker] = {w.connection: w for w in self._workers if w.task is not None}
        for connection in wait(list(by_connection), longest_s):
            worker = by_connection[connection]
            task = worker.task
            assert task is not None
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            if isinstance(message, Failure):
                log.error("a process failed", trace=message.trace)
                raise message.error
            if isinstance(message, Piece):
                yield task, message
            else:
                worker.task = None
                yield task, message

    def _give_up_hanging_rows(self) -> None:
        # Counted in steps of this loop: time in which the whole program was stopped is nobody's fault.
        now = time.monotonic()
        step_s, self._looked_at = min(now - self._looked_at, _LONGEST_STEP_S), now
        for worker in list(self._workers):
            worker.look(step_s)
            place = worker.marker.place()
            if worker.waited_s > ROW_TIMEOUT_S and worker.task is not None and place is not None:
                worker.task.excluded[place[0]] = TIMED_OUT
                self._replace(worker, is_loss=False)

    def _replace(self, worker: _Worker, *, is_loss: bool = True) -> None:
        task, place = worker.task, worker.marker.place()
        worker.kill()
        self._workers[self._workers.index(worker)] = self._start()
        if task is None:
            return
        row = place[0] if place is not None else _NO_ROW
        log.warning("a process was lost", exit_code=worker.process.exitcode, row=row)
        self._again.append(task)
        if is_loss:
            _count_loss(task, row)

    def _start(self) -> _Worker:
        return _Worker(self._context, self._main, self._folder)


def _count_loss(task: Task, row: int) -> None:
    task.losses[row] = task.losses.get(row, 0) + 1
    if row != _NO_ROW and task.losses[row] > 1:
        task.excluded[row] = CRASHED
    elif task.losses[row] > MAX_LOSSES:
        raise ProcessesLost(
            f"A process that computes was ended from outside {task.losses[row]} times at the same rows: most often the "
            "machine ran out of memory. Use fewer processes, or a machine with more memory."
        )


def _run(main: Main, connection: Connection, folder: Path, marker: Marker, parent_pid: int) -> None:
    die_with_parent(parent_pid)
    # Ctrl-C reaches every process of a terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        main(connection, folder, marker)
