"""Processes that read structures for the API: they may hang, crash, lie or be killed, and only that structure fails.

They parse what strangers send, so nothing they answer is run or believed: see `app.predictions.answer_format`.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

from app.core.errors import NotReady, StructureError, XtalforgeError
from app.core.logging import get_logger
from app.core.settings import PROJECT_ROOT
from app.predictions.answer_format import MAX_ANSWER_BYTES, MalformedAnswer, unpack_answer
from app.predictions.messages import MessageTooLong, is_quiet, receive, send
from app.predictions.request_format import pack_request
from app.predictions.tasks import Structures, Task, TextTask

MAX_CHUNK = 8
MAX_CHUNK_CHARACTERS = 200_000
REPLACE_AFTER = 200_000
"""Tasks of one process. Its memory grows by about 1 MB with every 100,000 of them, in use or not: no more than so."""

_MAX_ATTEMPTS = 2
ANSWER_GRACE_S = 5.0
_WORKER = "app.predictions.pool_worker"
_VARIABLES = frozenset(("HOME", "LANG", "PATH", "TMPDIR", "TZ"))
_VARIABLE_PREFIXES = ("LC_", "LD_", "PYTHON")

log = get_logger(__name__)

Answer = Future[Structures]
_Chunk = deque[tuple[Task, Answer]]


class StructureGivenUp(StructureError):
    """Reading it did not end by itself; another time it might."""


class StructureTooSlow(StructureGivenUp):
    code, title = "structure_too_slow", "The structure takes too long to read"


class StructureNotReadable(StructureGivenUp):
    code, title = "structure_not_readable", "The structure cannot be read here"


class FeaturisingPool:
    """At most `size` processes, each started when it is first needed, by a thread of its own that lives as long.

    A task that takes longer than `limit_s` is ended with its process; one whose process dies is tried in a new process
    once, one that gives no proper answer is ended. All get an error of their own, and the tasks behind them go on.
    """

    def __init__(self, size: int, limit_s: float, worker: str = _WORKER) -> None:
        """`worker` is the module that each process runs."""
        self._size = size
        self._limit_s = limit_s
        self._worker = worker
        self._calls: deque[_Chunk] = deque()
        self._changed = threading.Condition()
        self._n_idle = 0
        self._is_closed = False
        self._threads: list[threading.Thread] = []
        self._processes: list[ReaderProcess] = []

    def submit(self, tasks: Sequence[Task]) -> list[Answer]:
        """Begin them; at least one. Calls are served in turn, a few tasks of each at a time."""
        answers: list[Answer] = [Future() for _ in tasks]
        with self._changed:
            if self._is_closed:
                raise _stopping()
            self._calls.append(deque(zip(tasks, answers, strict=True)))
            self._start_threads(sum(map(len, self._calls)))
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
            process = ReaderProcess(self._limit_s, self._worker)
            name = f"featurising-{len(self._threads)}"
            thread = threading.Thread(target=self._serve, args=(process,), name=name, daemon=True)
            self._threads.append(thread)
            self._processes.append(process)
            n_waiting -= 1
            thread.start()

    def _serve(self, process: "ReaderProcess") -> None:
        try:
            while chunk := self._next_chunk():
                process.run(chunk)
        finally:
            process.end()

    def _next_chunk(self) -> "_Chunk | None":
        """The next tasks, a fair part of what waits; None when the pool is closed."""
        with self._changed:
            self._n_idle += 1
            self._changed.wait_for(lambda: self._calls or self._is_closed)
            self._n_idle -= 1
            if self._is_closed:
                for call in self._calls:
                    _fail([answer for _, answer in call], _stopping())
                self._calls.clear()
                return None
            return self._chunk()

    def _chunk(self) -> "_Chunk":
        most = min(MAX_CHUNK, -(-sum(map(len, self._calls)) // self._size))
        chunk: _Chunk = deque()
        characters = 0
        while self._calls and len(chunk) < most and characters < MAX_CHUNK_CHARACTERS:
            task, answer = self._calls[0].popleft()
            characters += len(task.text)
            chunk.append((task, answer))
            if not self._calls[0]:
                self._calls.popleft()
            self._calls.rotate(-1)
        return chunk


class ReaderProcess:
    """One process, started when there is work for it and anew when it died. All but `close` is for one thread."""

    def __init__(self, limit_s: float, worker: str = _WORKER) -> None:
        self._limit_s = limit_s
        self._worker = worker
        self._is_closed = False
        self._n_tasks = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.connection: socket.socket | None = None

    def run(self, chunk: "_Chunk") -> None:
        """Answer all tasks, whatever becomes of the process."""
        attempts = 0
        while chunk:
            if self._is_closed:
                _fail([answer for _, answer in chunk], _stopping())
                return
            try:
                for structures in self._answers([task for task, _ in chunk]):
                    chunk.popleft()[1].set_result(structures)
                    attempts = 0
            except (EOFError, OSError, MessageTooLong, MalformedAnswer) as error:
                attempts += 1
                failure = self.failure(error, self.end(), attempts)
                if failure is not None:
                    chunk.popleft()[1].set_exception(failure)
                    attempts = 0

    def end(self) -> int:
        """End the process, wait for it, and forget it; how it ended: a negative number is a signal."""
        self._kill()
        if self.connection is not None:
            self.connection.close()
        status = self._process.wait() if self._process is not None else 0
        self._process = self.connection = None
        return status

    def close(self) -> None:
        """From any thread: end the process and start no other."""
        self._is_closed = True
        self._kill()

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def _answers(self, tasks: Sequence[Task]) -> Iterator[Structures]:
        # The process ends itself when a task takes too long; this is for one that cannot or will not.
        within_s = self._limit_s + ANSWER_GRACE_S
        connection = self.started(len(tasks))
        if not is_quiet(connection):
            raise MalformedAnswer("an answer that nobody asked for")
        connection.settimeout(within_s)
        send(connection, pack_request(self._limit_s, tasks))
        for task in tasks:
            yield unpack_answer(receive(connection, MAX_ANSWER_BYTES, within_s), task)

    def started(self, n_tasks: int) -> socket.socket:
        """The way to the process for so many tasks more; it is started where there is none, or one that read enough."""
        if self._n_tasks >= REPLACE_AFTER:
            self.end()
        if self.connection is None:
            self._n_tasks = 0
            self.connection = self._started()
        self._n_tasks += n_tasks
        return self.connection

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - a module of this program
                [sys.executable, "-m", self._worker, str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                cwd=PROJECT_ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
            )
        return ours

    def failure(self, error: Exception, status: int, attempts: int) -> XtalforgeError | None:
        """Why the first task gets no answer; None when it should be tried once more."""
        if isinstance(error, MessageTooLong | MalformedAnswer):
            log.error("a process that reads structures gave no proper answer and was ended", reason=str(error)[:200])
            return StructureNotReadable("The process that read it gave no proper answer. Check the file.")
        if isinstance(error, TimeoutError) or status == -signal.SIGALRM:
            return StructureTooSlow(
                f"Reading it was given up after {self._limit_s:g} s. Simplify the file, or send fewer atoms.",
                limit_s=self._limit_s,
            )
        if attempts < _MAX_ATTEMPTS:
            return None
        log.error("a structure ended the process that read it", status=status)
        return StructureNotReadable("Reading it ended the process that tried, twice. Check the file.")


def _environment() -> dict[str, str]:
    """Nothing of the service's own settings, which hold passwords."""
    kept = {k: v for k, v in os.environ.items() if k in _VARIABLES or k.startswith(_VARIABLE_PREFIXES)}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _stopping() -> NotReady:
    return NotReady("The service is stopping.", retry_after_s=1)


def _fail(answers: Iterable[Answer], error: XtalforgeError) -> None:
    for answer in answers:
        answer.set_exception(error)
