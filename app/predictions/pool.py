"""Processes that read structures for the API: they may hang, crash or be killed, and only that structure fails."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from io import BufferedReader

from app.core.errors import NotReady, StructureError, XtalforgeError
from app.core.logging import get_logger
from app.core.settings import PROJECT_ROOT
from app.learning.featurising import FeaturisedStructure
from app.predictions.tasks import Task, TextTask

MAX_CHUNK = 8
MAX_CHUNK_CHARACTERS = 200_000
_MAX_ATTEMPTS = 2
_ANSWER_GRACE_S = 5.0

log = get_logger(__name__)

Answer = Future[list[FeaturisedStructure]]


class StructureGivenUp(StructureError):
    """Reading it did not end by itself; another time it might."""


class StructureTooSlow(StructureGivenUp):
    code, title = "structure_too_slow", "The structure takes too long to read"


class StructureNotReadable(StructureGivenUp):
    code, title = "structure_not_readable", "The structure cannot be read here"


class _Job:
    """The tasks of one call, taken in order."""

    __slots__ = ("answers", "tasks")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = deque(tasks)
        self.answers: deque[Answer] = deque(Future() for _ in tasks)


class FeaturisingPool:
    """At most `size` processes, each started when it is first needed, by a thread of its own that lives as long.

    A task that takes longer than `limit_s` is ended with its process; one whose process dies is tried in a new process
    once. Both get an error of their own, and the tasks behind them go on.
    """

    def __init__(self, size: int, limit_s: float) -> None:
        self._size = size
        self._limit_s = limit_s
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._n_idle = 0
        self._is_closed = False
        self._threads: list[threading.Thread] = []
        self._processes: list[_Process] = []

    def submit(self, tasks: Sequence[Task]) -> list[Answer]:
        """One future per task. Calls are served in turn, a few tasks of each at a time."""
        if not tasks:
            return []
        job = _Job(tasks)
        answers = list(job.answers)
        with self._changed:
            if self._is_closed:
                raise _stopping()
            self._jobs.append(job)
            self._start_threads(sum(len(waiting.tasks) for waiting in self._jobs))
            self._changed.notify(len(tasks))
        return answers

    def start(self) -> None:
        """Start the first process, so that the first task finds it ready."""
        self.submit([TextTask("", None, "", ())])

    def close(self, timeout_s: float = 5.0) -> None:
        """End all processes. What no process has begun yet gets NotReady, what one is at an error."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for process in self._processes:
            process.close()
        for thread in self._threads:
            thread.join(timeout_s)

    def _start_threads(self, n_waiting: int) -> None:
        while self._n_idle < n_waiting and len(self._threads) < self._size:
            # Linux ends the process together with the thread that started it: this thread must live as long.
            process = _Process(self._limit_s)
            name = f"featurising-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, args=(process,), name=name, daemon=True)
            self._threads.append(thread)
            self._processes.append(process)
            n_waiting -= 1
            thread.start()

    def _serve(self, process: "_Process") -> None:
        try:
            while chunk := self._next_chunk():
                process.run(*chunk)
        finally:
            process.end()

    def _next_chunk(self) -> tuple[deque[Task], deque[Answer]] | None:
        """The next tasks, a fair part of what waits; None when the pool is closed."""
        with self._changed:
            self._n_idle += 1
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            self._n_idle -= 1
            if self._is_closed:
                for job in self._jobs:
                    _fail(job.answers, _stopping())
                self._jobs.clear()
                return None
            n_waiting = sum(len(job.tasks) for job in self._jobs)
            most = min(MAX_CHUNK, -(-n_waiting // self._size))
            tasks: deque[Task] = deque()
            answers: deque[Answer] = deque()
            characters = 0
            while self._jobs and len(tasks) < most and characters < MAX_CHUNK_CHARACTERS:
                job = self._jobs[0]
                task = job.tasks.popleft()
                characters += len(task.text) if isinstance(task, TextTask) else 0
                tasks.append(task)
                answers.append(job.answers.popleft())
                self._jobs.rotate(-1)
                if not job.tasks:
                    self._jobs.remove(job)
            return tasks, answers


class _Process:
    """One process, started when there is work for it and anew when it died. All but `close` is for one thread."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._is_closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._incoming: BufferedReader | None = None

    def run(self, tasks: deque[Task], answers: deque[Answer]) -> None:
        """Answer all tasks, whatever becomes of the process."""
        attempts = 0
        while tasks:
            if self._is_closed:
                _fail(answers, _stopping())
                return
            try:
                for answer in self._answers(tasks):
                    tasks.popleft()
                    answers.popleft().set_result(answer)
                    attempts = 0
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                attempts += 1
                failure = self._failure(self.end(), attempts, is_late=isinstance(error, TimeoutError))
                if failure is not None:
                    tasks.popleft()
                    answers.popleft().set_exception(failure)
                    attempts = 0

    def end(self) -> int:
        """End the process, wait for it, and forget it; how it ended: a negative number is a signal."""
        self._kill()
        for opened in (self._incoming, self._connection):
            if opened is not None:
                opened.close()
        status = self._process.wait() if self._process is not None else 0
        self._process = self._connection = self._incoming = None
        return status

    def close(self) -> None:
        """From any thread: end the process and start no other."""
        self._is_closed = True
        self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def _answers(self, tasks: Sequence[Task]) -> Iterator[list[FeaturisedStructure]]:
        if self._connection is None or self._incoming is None:
            self._connection = self._started()
            self._incoming = self._connection.makefile("rb")
        n = len(tasks)
        self._connection.sendall(pickle.dumps((self._limit_s, list(tasks)), pickle.HIGHEST_PROTOCOL))
        for _ in range(n):
            yield pickle.load(self._incoming)  # noqa: S301 - from a process of our own

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - a module of this program
                [sys.executable, "-m", "app.predictions.pool_worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                cwd=PROJECT_ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
            )
        # The process ends itself when a task takes too long; this is for one that cannot, because it was halted.
        ours.settimeout(self._limit_s + _ANSWER_GRACE_S)
        return ours

    def _failure(self, status: int, attempts: int, *, is_late: bool) -> XtalforgeError | None:
        """Why the first task gets no answer; None when it should be tried once more."""
        if is_late or status == -signal.SIGALRM:
            return StructureTooSlow(
                f"Reading it was given up after {self._limit_s:g} s. Simplify the file, or send fewer atoms.",
                limit_s=self._limit_s,
            )
        if attempts < _MAX_ATTEMPTS:
            return None
        log.error("a structure ended the process that read it", status=status)
        return StructureNotReadable("Reading it ended the process that tried, twice. Check the file.")


def _stopping() -> NotReady:
    return NotReady("The service is stopping.", retry_after_s=1)


def _fail(answers: Iterable[Answer], error: XtalforgeError) -> None:
    for answer in answers:
        answer.set_exception(error)
