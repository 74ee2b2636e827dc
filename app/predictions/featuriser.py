"""Where structures are read: small ones here, large ones and batches in the pool, those seen lately nowhere."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from app.core.errors import StructureError
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.cache import GraphCache
from app.learning.graphs.crystal_graph import CrystalGraph
from app.predictions.pool import Answer, FeaturisingPool, StructureGivenUp
from app.predictions.tasks import ServiceFault, Structures, Task, TextTask, failed, featurise, guarded

MAX_SEEN_BYTES = 24_000_000

_MAX_GRAPH_EDGES = 500_000
_ENTRY_BYTES = 2_000


class Featuriser:
    """Texts and crystals in, crystals with graphs or errors out. Thread-safe.

    Light tasks are done in the calling thread, several of them together with the pool where `share_light` says that
    there are cores for it. All others go to the pool, where they take no time from other requests and can be given up.
    Without a pool everything is done in the calling thread.
    """

    def __init__(self, pool: FeaturisingPool | None = None, *, share_light: bool = False) -> None:
        self._pool = pool
        self._share_light = share_light
        self._seen = _SeenTexts()
        self._graphs = GraphCache(_MAX_GRAPH_EDGES)

    def featurise(self, tasks: Sequence[Task]) -> list[Structures]:
        """The structures of each task, in order, as `tasks.featurise` gives them.

        Raises NotReady when the service is stopping.
        """
        found = [self._seen.get(task) for task in tasks]
        missing = [index for index, structures in enumerate(found) if structures is None]
        made = self._make([tasks[index] for index in missing]) if missing else []
        for index, structures in zip(missing, made, strict=True):
            found[index] = structures
            self._seen.put(tasks[index], structures)
        return [structures for structures in found if structures is not None]

    def prepare(self) -> None:
        """Start what the first large structure would otherwise have to wait for."""
        if self._pool is not None:
            self._pool.start()

    def _make(self, tasks: Sequence[Task]) -> list[Structures]:
        are_light = all(task.only_light for task in tasks)
        if self._pool is None or (are_light and not (self._share_light and len(tasks) > 1)):
            return [self._here(task) for task in tasks]
        pooled = self._pool.submit(tasks)
        while are_light and (taken := self._pool.take_back(pooled)) is not None:
            task, answer = taken
            answer.set_result(self._here(task))
        return [_answer(answer) for answer in pooled.answers]

    def _here(self, task: Task) -> Structures:
        return guarded(partial(featurise, task, self._graphs.build))


def _answer(pooled: Answer) -> Structures:
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
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(task, TextTask):
        digest.update(task.text.encode("utf-8", "surrogatepass"))
        # A file's name matters only where its format is recognised by it.
        return (digest.digest(), task.fmt, task.file_name if task.fmt is None else "", task.settings)
    for array in (task.crystal.lattice, task.crystal.fractional_coordinates, task.crystal.atomic_numbers):
        digest.update(array.tobytes())
    return (digest.digest(), task.crystal.notes, task.settings)


def _size(entry: FeaturisedStructure) -> int:
    edges = sum(graph.n_edges for graph in entry.graphs if isinstance(graph, CrystalGraph))
    return _ENTRY_BYTES + 16 * edges + (32 * entry.crystal.n_sites if entry.crystal is not None else 0)
