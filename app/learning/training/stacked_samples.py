"""Samples of K members on the device, and their batches assembled there: the host sends indices and waits for nothing.

Dimensions: S steps, K members, B rows of a step at most. Rows are numbered through all members' samples; where a member
has fewer rows than B in a step, `-1` stands in `rows`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.learning.graphs.packed import PackedGraphs
from app.learning.networks.stacked import NotStackable
from app.learning.networks.stacked_batch import (
    N_ELEMENT_ROWS,
    Rows,
    StackedBatch,
    StackedGraphBatch,
    StackedVectorBatch,
)
from app.learning.samples import GraphSamples, Samples, VectorSamples

IntArray = npt.NDArray[np.int64]

_ASSEMBLED_EDGES = 1_000_000
"""Edges whose indices are made at once, 40 bytes each: for many steps together, since each call costs."""


def upload(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """To the device; the host does not wait for the copy to end."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class StackedSamples:
    """The samples of K members; a set that several members have in common is held once.

    first: number of each member's first row, (K,); costs: edges of each row (1 for vectors), and a last 0 for `-1`
    """

    def __init__(self, samples: Sequence[Samples], device: torch.device) -> None:
        """Raises NotStackable for samples of different kinds."""
        different = list({id(s): s for s in samples}.values())
        starts = dict(zip(map(id, different), np.cumsum([0, *map(len, different)]), strict=False))
        self.first: IntArray = np.array([starts[id(s)] for s in samples], dtype=np.int64)
        self.costs: IntArray = np.concatenate([*(s.costs for s in different), np.zeros(1, dtype=np.int64)])
        self._source: _Graphs | _Vectors
        if all(isinstance(s, GraphSamples) for s in different):
            self._source = _Graphs([s.packed for s in different if isinstance(s, GraphSamples)], device)
        elif all(isinstance(s, VectorSamples) for s in different):
            self._source = _Vectors([s.features for s in different if isinstance(s, VectorSamples)], device)
        else:
            raise NotStackable("The members' samples must be all graphs or all vectors.")

    def batches(self, rows: IntArray) -> Iterator[StackedBatch]:
        """One batch for each step of `rows` (S, K, B), in order."""
        per_step = self.costs[rows].sum(2).max(1, initial=0) * rows.shape[1]
        for steps in within_budget(per_step, _ASSEMBLED_EDGES):
            yield from self._source.batches(rows[steps])


def within_budget(costs: IntArray, budget: int) -> list[IntArray]:
    """Indices in order, cut into parts that cost no more than the budget and one item."""
    before = np.cumsum(costs) - costs
    cuts = np.flatnonzero(np.diff(before // budget)) + 1
    return [part for part in np.split(np.arange(len(costs)), cuts) if len(part)]


class _Vectors:
    def __init__(self, features: Sequence[npt.NDArray[np.float32]], device: torch.device) -> None:
        self.device = device
        self.features = upload(np.concatenate([*features, np.zeros_like(features[0][:1])]), device)

    def batches(self, rows: IntArray) -> Iterator[StackedVectorBatch]:
        for step in upload(rows % len(self.features), self.device):
            yield StackedVectorBatch(self.features[step], rows.shape[1])


@dataclass(frozen=True, slots=True)
class _Slots:
    """For S steps and K members B ranges of source items and one of padding behind each other, all slots in a row.

    widths (S,): items of one member in a step, padding included; counts (S, K): without it
    lengths, shifts (S * K * (B + 1),): item at position p of slot s is number p + shifts[s], or padding beyond the last
    """

    widths: IntArray
    counts: IntArray
    lengths: IntArray
    shifts: IntArray

    @classmethod
    def of(cls, starts: IntArray, lengths: IntArray, n_items: int) -> "_Slots":
        """`starts` and `lengths` (S, K, B) of the ranges among `n_items`."""
        counts = lengths.sum(2)
        widths = np.maximum(counts.max(1), 1)
        padding = (widths[:, None] - counts)[:, :, None]
        every = np.concatenate([lengths, padding], 2).ravel()
        begins = np.concatenate([starts, np.full_like(padding, n_items)], 2).ravel()
        return cls(widths, counts, every, begins - (np.cumsum(every) - every))

    def items(self, n_items: int, *of_slot: IntArray, device: torch.device) -> tuple[Tensor, ...]:
        """Number of the source item at each position, `n_items` for padding; its slot; the values of that slot."""
        total = int(self.lengths.sum())
        lengths, shifts, *values = upload(np.stack([self.lengths, self.shifts, *map(np.ravel, of_slot)]), device)
        slots = torch.arange(len(lengths), device=device)
        slot = torch.repeat_interleave(slots, lengths, output_size=total)
        position = torch.arange(total, device=device)
        return (position + shifts[slot]).clamp_(max=n_items), slot, *(value[slot] for value in values)

    def rows(self, slot: Tensor, device: torch.device) -> list[Rows]:
        """Which items are real, by step; `slot` as `items` gives it."""
        n_steps, k = self.counts.shape
        is_real = np.ones((n_steps, k, len(self.lengths) // (n_steps * k)), dtype=np.float32)
        is_real[:, :, -1] = 0.0
        masks = torch.split(upload(is_real.ravel(), device)[slot], (self.widths * k).tolist())
        numbers = np.stack([np.maximum(self.counts, 1), self.counts / np.maximum(self.counts - 1, 1)])
        counts, bessel = upload(numbers.astype(np.float32)[..., None], device)
        every = zip(masks, counts[..., None], bessel, strict=True)
        return [Rows(mask.view(k, -1, 1), n, factor) for mask, n, factor in every]


class _Graphs:
    def __init__(self, packed: Sequence[PackedGraphs], device: torch.device) -> None:
        self.device = device
        n_nodes = np.concatenate([*(p.n_nodes for p in packed), np.zeros(1, dtype=np.int64)])
        n_edges = np.concatenate([*(p.n_edges for p in packed), np.zeros(1, dtype=np.int64)])
        self.n_nodes, self.n_edges = n_nodes, n_edges
        self.node_starts, self.edge_starts = np.cumsum(n_nodes) - n_nodes, np.cumsum(n_edges) - n_edges

        def held(name: str) -> Tensor:
            parts = [getattr(p, name) for p in packed]
            return upload(np.concatenate([*parts, np.zeros_like(parts[0][..., :1])], -1), device)

        # Each array ends with an item of padding: no element, no weight, an edge from a node to itself.
        self.atomic_numbers, self.node_weights = held("atomic_numbers"), held("node_weights")
        self.edge_index, self.distances, self.edge_weights = held("edge_index"), held("distances"), held("edge_weights")

    def batches(self, rows: IntArray) -> Iterator[StackedGraphBatch]:
        _, k, b = rows.shape
        n_all_nodes, n_all_edges = len(self.node_weights) - 1, len(self.distances) - 1
        nodes = _Slots.of(self.node_starts[rows], self.n_nodes[rows], n_all_nodes)
        edges = _Slots.of(self.edge_starts[rows], self.n_edges[rows], n_all_edges)
        member = np.arange(k)[:, None]
        crystal_of_slot = np.broadcast_to(member * b + np.minimum(np.arange(b + 1), b - 1), (len(rows), k, b + 1))
        element_of_slot = np.broadcast_to(member * N_ELEMENT_ROWS, crystal_of_slot.shape)
        before = np.cumsum(self.n_nodes[rows], 2) - self.n_nodes[rows]
        # Padding edges start and end at the member's first node, with weight 0.
        first_node = np.concatenate([before, np.zeros_like(before[:, :, :1])], 2) + member * nodes.widths[:, None, None]
        node, node_slot, crystal, element = nodes.items(
            n_all_nodes, crystal_of_slot, element_of_slot, device=self.device
        )
        edge, edge_slot, base = edges.items(n_all_edges, first_node, device=self.device)
        node_sizes, edge_sizes = (nodes.widths * k).tolist(), (edges.widths * k).tolist()
        columns = [
            torch.split(element + self.atomic_numbers[node], node_sizes),
            torch.split(self.node_weights[node], node_sizes),
            torch.split(crystal, node_sizes),
            *(torch.split(base + self.edge_index[i][edge], edge_sizes) for i in (0, 1)),
            torch.split(self.distances[edge], edge_sizes),
            torch.split(self.edge_weights[edge], edge_sizes),
        ]
        node_rows = nodes.rows(node_slot, self.device)
        edge_rows = edges.rows(edge_slot, self.device)
        for step, values in enumerate(zip(*columns, strict=True)):
            yield StackedGraphBatch(
                element=values[0],
                node_weights=values[1].view(k, -1, 1),
                crystal=values[2],
                centre=values[3],
                neighbour=values[4],
                distances=values[5].view(k, -1),
                edge_weights=values[6].view(k, -1, 1),
                n_members=k,
                n_crystals=b,
                node_rows=node_rows[step],
                edge_rows=edge_rows[step],
            )
