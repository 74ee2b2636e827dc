"""Many graphs in few arrays, in memory or memory-mapped from a folder, with batches cut out by index."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.learning.graphs.crystal_graph import CrystalGraph

IntArray = npt.NDArray[np.int64]

_OFFSETS = ("node_offsets", "edge_offsets")


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
        """Write the set for `load`; see `write_packed`."""
        write_packed(folder, key, [self])

    @staticmethod
    def forget(folder: Path) -> None:
        """Make `load` find nothing in `folder` until a set was written there to the end."""
        (folder / "index.json").unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: Path, key: str) -> "PackedGraphs | None":
        """Memory-map a saved set, or None when there is none made from `key`."""
        index = folder / "index.json"
        if not index.is_file() or json.loads(index.read_text())["key"] != key:
            return None
        return cls(**{f.name: np.load(folder / f"{f.name}.npy", mmap_mode="r") for f in fields(cls)})


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Waits for other processes that are here."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_packed(folder: Path, key: str, parts: Iterable[PackedGraphs]) -> None:
    """Write the graphs of all parts as one set, holding one part in memory at a time.

    One `.npy` per array and, last, `index.json` with `key`, which says what the set was made from. Files are replaced,
    never rewritten: a process that has mapped the old ones keeps them. Two at once write in turns under `one_writer`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    PackedGraphs.forget(folder)
    names = [field.name for field in fields(PackedGraphs)]
    n_graphs = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context(_GrowingArray(folder / f"{name}.partial.npy")) for name in names}
        for part in parts:
            for name in names:
                array = getattr(part, name)
                if name in _OFFSETS:
                    # The first offset of a part is the last one of what was written before.
                    array = array[min(n_graphs, 1) :] + files[name].last
                files[name].append(array)
            n_graphs += len(part)
    for name in names:
        os.replace(folder / f"{name}.partial.npy", folder / f"{name}.npy")
    (folder / "index.json").write_text(json.dumps({"key": key, "n_graphs": n_graphs}))


class _GrowingArray:
    """A growing `.npy` file, along the last axis; its header, padded by numpy for that, is written again at the end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.int64)
        self.last = 0

    def __enter__(self) -> "_GrowingArray":
        return self

    def append(self, array: npt.NDArray[Any]) -> None:
        if not self._shape:
            self._shape, self._dtype = (*array.shape[:-1], 0), array.dtype
            self._write_header()
        self._file.write(array.astype(self._dtype, copy=False).tobytes(order="F"))
        self._shape = (*self._shape[:-1], self._shape[-1] + array.shape[-1])
        if array.ndim == 1 and len(array) > 0:
            self.last = array[-1]

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        described = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": True, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, described)


def _ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """The concatenation of arange(start, start + length)."""
    ends = np.cumsum(lengths)
    ranges: IntArray = np.arange(lengths.sum(), dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
    return ranges
