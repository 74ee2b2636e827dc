"""Where structures are read: in this thread or in the pool; those seen lately not at all."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

from app.core.errors import StructureError
from app.core.metrics import observe_stage
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.cache import GraphCache
from app.learning.graphs.crystal_graph import CrystalGraph
from app.predictions.pool import Answer, FeaturisingPool, PooledTasks, StructureGivenUp
from app.predictions.tasks import ObjectTask, ServiceFault, Structures, Task, failed, featurise, guarded

MAX_SEEN_BYTES = 24_000_000

_MAX_GRAPH_EDGES = 500_000
_ENTRY_BYTES = 2_000


class Underway:
    """Tasks that are being done: by the pool, or step by step by whoever calls `help`. For one thread."""

    def __init__(
        self,
        tasks: Sequence[Task],
        seen: "_SeenTexts",
        do: Callable[[Task], Structures],
        pool: FeaturisingPool | None,
        on_done: Callable[[], None] | None,
    ) -> None:
        """`on_done` is called, in any thread, whenever the pool is done with one of them."""
        self._tasks = tasks
        self._seen = seen
        self._do = do
        self._pool = pool
        self._found = [seen.get(task) for task in tasks]
        self._missing = [index for index, structures in enumerate(self._found) if structures is None]
        self._next = 0
        self._started = time.perf_counter()
        self._pooled: PooledTasks | None = None
        if pool is not None and self._missing:
            self._pooled = pool.submit([tasks[index] for index in self._missing])
            if on_done is not None:
                for answer in self._pooled.answers:
                    answer.add_done_callback(partial(_call, on_done))

    @property
    def is_done(self) -> bool:
        if self._pooled is not None:
            return all(answer.done() for answer in self._pooled.answers)
        return self._next == len(self._missing)

    def help(self) -> bool:
        """Do one task that nobody has begun; False when there is none."""
        if self._pooled is None:
            if self._next == len(self._missing):
                return False
            index = self._missing[self._next]
            self._found[index] = self._do(self._tasks[index])
            self._next += 1
            return True
        assert self._pool is not None
        taken = self._pool.take_back(self._pooled)
        if taken is None:
            return False
        task, answer = taken
        answer.set_result(self._do(task))
        return True

    def results(self) -> list[Structures]:
        """The structures of each task, in order, once all are done. Raises NotReady when the service is stopping."""
        observe_stage("read", time.perf_counter() - self._started)
        if self._pooled is not None:
            for index, answer in zip(self._missing, self._pooled.answers, strict=True):
                self._found[index] = _outcome(answer)
        for index in self._missing:
            self._seen.put(self._tasks[index], self._found[index] or [])
        return [structures if structures is not None else [] for structures in self._found]


class Featuriser:
    """Texts and objects in, crystals with graphs or errors out. Thread-safe.

    In the pool a task takes no time from other requests and can be given up; the caller's own thread saves small tasks
    the way to another process.
    """

    def __init__(self, pool: FeaturisingPool | None = None) -> None:
        self._pool = pool
        self._seen = _SeenTexts()
        self._graphs = GraphCache(_MAX_GRAPH_EDGES)

    def featurise(self, tasks: Sequence[Task]) -> list[Structures]:
        """The structures of each task, in order, as `tasks.featurise` gives them; in the pool where there is one.

        Raises NotReady when the service is stopping.
        """
        underway = self.start(tasks, in_pool=True)
        while self._pool is None and underway.help():
            continue
        return underway.results()

    def start(self, tasks: Sequence[Task], *, in_pool: bool, on_done: Callable[[], None] | None = None) -> Underway:
        """Begin them in the pool, or leave all to the caller's help."""
        return Underway(tasks, self._seen, self._here, self._pool if in_pool else None, on_done)

    def prepare(self) -> None:
        """Start what the first large structure would otherwise have to wait for."""
        if self._pool is not None:
            self._pool.start()

    def _here(self, task: Task) -> Structures:
        return guarded(partial(featurise, task, self._graphs.build))


def _call(on_done: Callable[[], None], _answer: Answer) -> None:
    on_done()


def _outcome(pooled: Answer) -> Structures:
    try:
        return pooled.result()
    except StructureError as error:
        return failed(error)


class _SeenTexts:
    """What became of texts lately, the least recently used go. Thread-safe."""

    def __init__(self, max_bytes: int = MAX_SEEN_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[object, ...], tuple[int, Structures]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, task: Task) -> Structures | None:
        key = _key(task)
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[1]

    def put(self, task: Task, structures: Structures) -> None:
        # What failed for want of time or by a fault of the service may not fail again.
        if not structures or any(isinstance(entry.error, StructureGivenUp | ServiceFault) for entry in structures):
            return
        key, size = _key(task), _ENTRY_BYTES + sum(_size(entry) for entry in structures)
        with self._lock:
            if key in self._entries or size > self._max_bytes:
                return
            self._entries[key] = (size, structures)
            self._bytes += size
            while self._bytes > self._max_bytes:
                self._bytes -= self._entries.popitem(last=False)[1][0]


def _key(task: Task) -> tuple[object, ...]:
    digest = hashlib.blake2b(task.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if isinstance(task, ObjectTask):
        return (digest, task.settings)
    # A file's name matters only where its format is recognised by it.
    return (digest, task.fmt, task.file_name if task.fmt is None else "", task.settings)


def _size(entry: FeaturisedStructure) -> int:
    edges = sum(graph.n_edges for graph in entry.graphs if isinstance(graph, CrystalGraph))
    return _ENTRY_BYTES + 16 * edges + (32 * entry.crystal.n_sites if entry.crystal is not None else 0)
