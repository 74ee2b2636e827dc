"""Many graphs in few arrays, in memory or memory-mapped from a folder, with batches cut out by index."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.learning.graphs.crystal_graph import CrystalGraph

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PackedGraphs:
    """B graphs behind each other.

    Dimensions: N nodes and E edges of all graphs together.
        atomic_numbers (N,) uint8; node_weights (N,) float32
        edge_index (2, E) int32, local to each graph; distances (E,) float32, Å; edge_weights (E,) float32
        node_offsets, edge_offsets (B + 1,) int64; n_sites (B,) int64
    """

    atomic_numbers: npt.NDArray[np.uint8]
    node_weights: npt.NDArray[np.float32]
    edge_index: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    edge_weights: npt.NDArray[np.float32]
    node_offsets: IntArray
    edge_offsets: IntArray
    n_sites: IntArray

    def __len__(self) -> int:
        return int(self.node_offsets.shape[0]) - 1

    @property
    def n_nodes(self) -> IntArray:
        """Nodes of each graph, (B,)."""
        return np.diff(self.node_offsets)

    @property
    def n_edges(self) -> IntArray:
        """Edges of each graph, (B,)."""
        return np.diff(self.edge_offsets)

    @classmethod
    def pack(cls, graphs: Sequence[CrystalGraph]) -> "PackedGraphs":
        """Concatenate graphs; at least one."""
        return cls(
            atomic_numbers=np.concatenate([g.atomic_numbers for g in graphs]),
            node_weights=np.concatenate([g.node_weights for g in graphs]),
            edge_index=np.concatenate([g.edge_index for g in graphs], axis=1),
            distances=np.concatenate([g.distances for g in graphs]),
            edge_weights=np.concatenate([g.edge_weights for g in graphs]),
            node_offsets=np.cumsum([0, *(g.n_nodes for g in graphs)], dtype=np.int64),
            edge_offsets=np.cumsum([0, *(g.n_edges for g in graphs)], dtype=np.int64),
            n_sites=np.array([g.n_sites for g in graphs], dtype=np.int64),
        )

    def take(self, indices: IntArray) -> "PackedGraphs":
        """The graphs at `indices`, in that order, as a new packed set."""
        n_nodes, n_edges = self.n_nodes[indices], self.n_edges[indices]
        nodes = _ranges(self.node_offsets[indices], n_nodes)
        edges = _ranges(self.edge_offsets[indices], n_edges)
        return PackedGraphs(
            atomic_numbers=self.atomic_numbers[nodes],
            node_weights=self.node_weights[nodes],
            edge_index=self.edge_index[:, edges],
            distances=self.distances[edges],
            edge_weights=self.edge_weights[edges],
            node_offsets=np.concatenate([[0], np.cumsum(n_nodes)]),
            edge_offsets=np.concatenate([[0], np.cumsum(n_edges)]),
            n_sites=self.n_sites[indices],
        )

    def save(self, folder: Path, key: str) -> None:
        """Write one `.npy` per array and, last, `index.json` with `key`, which says what the set was made from.

        Files are replaced, never rewritten: a process that has mapped the old ones keeps them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.forget(folder)
        for field in fields(self):
            partial = folder / f"{field.name}.partial.npy"
            np.save(partial, getattr(self, field.name))
            os.replace(partial, folder / f"{field.name}.npy")
        (folder / "index.json").write_text(json.dumps({"key": key, "n_graphs": len(self)}))

    @staticmethod
    def forget(folder: Path) -> None:
        """Make `load` find nothing in `folder` until `save` has ended there."""
        (folder / "index.json").unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, key: str) -> "PackedGraphs | None":
        """Memory-map a saved set, or None when there is none made from `key`."""
        index = folder / "index.json"
        if not index.is_file() or json.loads(index.read_text())["key"] != key:
            return None
        return cls(**{f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(cls)})


def _ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """The concatenation of arange(start, start + length)."""
    ends = np.cumsum(lengths)
    ranges: IntArray = np.arange(lengths.sum(), dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return ranges
