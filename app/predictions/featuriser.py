"""Where structures are read: small ones here, large ones and batches in the pool, those seen lately nowhere."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from app.core.errors import StructureError
from app.learning.featurising import FeaturisedStructure, featurise_crystal, featurise_text
from app.learning.graphs.cache import GraphCache
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.predictions.pool import Answer, FeaturisingPool, StructureGivenUp
from app.predictions.tasks import CrystalTask, ServiceFault, Task, TextTask, failed, guarded
from app.structures.crystal import Crystal

LIGHT_CHARACTERS = 4_000
LIGHT_SITES = 64
LIGHT_IMAGES = 100_000
REACH = 8.0
"""Å. How far neighbours are looked for."""
MAX_INLINE = 3
"""Texts of one request; more are a batch."""
MAX_SEEN_BYTES = 24_000_000

_MAX_GRAPH_EDGES = 500_000
_ENTRY_BYTES = 2_000

Structures = list[FeaturisedStructure]


class Featuriser:
    """Texts and crystals in, crystals with graphs or errors out. Thread-safe.

    What is certainly quick is done in the calling thread, one at a time, which saves the way to another process. All
    else goes to the pool, where it takes no time from other requests and can be given up. Without a pool everything is
    done in the calling thread.
    """

    def __init__(self, pool: FeaturisingPool | None = None) -> None:
        self._pool = pool
        self._seen = _SeenTexts()
        self._graphs = GraphCache(_MAX_GRAPH_EDGES)
        self._inline = threading.Lock()

    def featurise(self, tasks: Sequence[Task]) -> list[Structures]:
        """The structures of each task, at least one, in order; what is wrong with one is in its place.

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
        if self._pool is None:
            return [guarded(partial(self._here, task)) for task in tasks]
        made = [self._quickly(task) if len(tasks) <= MAX_INLINE else None for task in tasks]
        pooled = iter(self._pool.submit([task for task, done in zip(tasks, made, strict=True) if done is None]))
        return [done if done is not None else _answer(next(pooled)) for done in made]

    def _quickly(self, task: Task) -> Structures | None:
        """The structures, if that is certainly a matter of milliseconds and nobody else is at it; else None."""
        if isinstance(task, TextTask) and len(task.text) > LIGHT_CHARACTERS:
            return None
        if not self._inline.acquire(blocking=False):
            return None
        try:
            crystals = guarded(partial(_crystals, task))
            light = all(entry.crystal is None or _is_light(entry.crystal) for entry in crystals)
            return [self._with_graphs(entry, task.settings) for entry in crystals] if light else None
        finally:
            self._inline.release()

    def _here(self, task: Task) -> Structures:
        return [self._with_graphs(entry, task.settings) for entry in _crystals(task)]

    def _with_graphs(self, entry: FeaturisedStructure, settings: Sequence[GraphSettings]) -> FeaturisedStructure:
        if entry.crystal is None:
            return entry
        return replace(entry, graphs=featurise_crystal(entry.crystal, settings, self._graphs.build))


def _crystals(task: Task) -> Structures:
    """The structures of a task, without graphs."""
    if isinstance(task, CrystalTask):
        return [FeaturisedStructure("", task.crystal, (), None)]
    return featurise_text(task.text, task.fmt, task.file_name, ())


def _answer(pooled: Answer) -> Structures:
    try:
        return pooled.result()
    except StructureError as error:
        return failed(error)


def _is_light(crystal: Crystal) -> bool:
    """Whether its graph is quick: few atoms, and a cell that is no splinter with countless images in reach."""
    if crystal.n_sites > LIGHT_SITES:
        return False
    a, b, c = crystal.lattice
    areas = (np.cross(b, c), np.cross(c, a), np.cross(a, b))
    reach = [1 + REACH * float(np.sqrt(area @ area)) / crystal.volume for area in areas]
    return crystal.n_sites * 8 * reach[0] * reach[1] * reach[2] < LIGHT_IMAGES


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
        if any(isinstance(entry.error, StructureGivenUp | ServiceFault) for entry in structures):
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
