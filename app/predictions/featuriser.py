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
from app.predictions.pool import Answer, FeaturisingPool, StructureGivenUp
from app.predictions.tasks import ObjectTask, ServiceFault, Structures, Task, failed, featurise, guarded

MAX_SEEN_BYTES = 24_000_000

_MAX_GRAPH_EDGES = 500_000
_ENTRY_BYTES = 2_000


class Part:
    """One task that is left to be done, by whoever takes it."""

    __slots__ = ("_index", "_underway", "task")

    def __init__(self, underway: "Underway", index: int, task: Task) -> None:
        self._underway = underway
        self._index = index
        self.task = task

    def do(self) -> None:
        """Do it here."""
        self._underway.put(self._index, self._underway.do(self.task))

    def put(self, structures: Structures) -> None:
        """It was done elsewhere."""
        self._underway.put(self._index, structures)


class Underway:
    """Tasks that are being done; those seen lately are done already. For one thread."""

    def __init__(self, tasks: Sequence[Task], seen: "_SeenTexts", do: Callable[[Task], Structures]) -> None:
        self.do = do
        self._tasks = tasks
        self._seen = seen
        self._found = [seen.get(task) for task in tasks]
        self._missing = [index for index, structures in enumerate(self._found) if structures is None]
        self._n_left = len(self._missing)
        self._started = time.perf_counter()

    @property
    def is_done(self) -> bool:
        return self._n_left == 0

    def parts(self) -> list[Part]:
        """What is left to be done, each to be done once."""
        return [Part(self, index, self._tasks[index]) for index in self._missing]

    def put(self, index: int, structures: Structures) -> None:
        self._found[index] = structures
        self._n_left -= 1

    def results(self) -> list[Structures]:
        """The structures of each task, in order, once all are done."""
        observe_stage("read", time.perf_counter() - self._started)
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
        underway = self.start(tasks)
        parts = underway.parts()
        if self._pool is None:
            for part in parts:
                part.do()
        elif parts:
            answers = self._pool.submit([part.task for part in parts])
            for part, answer in zip(parts, answers, strict=True):
                part.put(_outcome(answer))
        return underway.results()

    def start(self, tasks: Sequence[Task]) -> Underway:
        """Look at them; what is left to be done is the caller's."""
        return Underway(tasks, self._seen, self._here)

    def prepare(self) -> None:
        """Start what the first large structure would otherwise have to wait for."""
        if self._pool is not None:
            self._pool.start()

    def _here(self, task: Task) -> Structures:
        return guarded(partial(featurise, task, self._graphs.build))


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
