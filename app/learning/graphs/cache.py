"""Graphs of crystals seen lately: several models answer one upload from one graph."""

import hashlib
import threading
from collections import OrderedDict

from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal

_GRAPH_OVERHEAD = 64
"""What five arrays and an entry weigh beside their content, in edges of 16 bytes."""


class GraphCache:
    """Least recently used graphs go when together they take the memory of more than `max_edges` edges. Thread-safe."""

    def __init__(self, max_edges: int = 2_000_000) -> None:
        self._max_edges = max_edges
        self._n_edges = 0
        self._graphs: OrderedDict[bytes, CrystalGraph] = OrderedDict()
        self._lock = threading.Lock()

    def build(self, crystal: Crystal, settings: GraphSettings) -> CrystalGraph:
        """The graph, from memory where it is. Raises what `build_crystal_graph` raises."""
        key = _digest(crystal, settings)
        with self._lock:
            found = self._graphs.get(key)
            if found is not None:
                self._graphs.move_to_end(key)
                return found
        graph = build_crystal_graph(crystal, settings)
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = graph
                self._n_edges += graph.n_edges + _GRAPH_OVERHEAD
            while self._n_edges > self._max_edges and len(self._graphs) > 1:
                self._n_edges -= self._graphs.popitem(last=False)[1].n_edges + _GRAPH_OVERHEAD
        return graph


def _digest(crystal: Crystal, settings: GraphSettings) -> bytes:
    digest = hashlib.blake2b(settings.model_dump_json().encode(), digest_size=16)
    for array in (crystal.lattice, crystal.fractional_coordinates, crystal.atomic_numbers):
        digest.update(array.tobytes())
    return digest.digest()
