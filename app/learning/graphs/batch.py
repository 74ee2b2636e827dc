"""Graphs of a micro-batch as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.packed import PackedGraphs


@dataclass(frozen=True, slots=True)
class GraphBatch:
    """Disjoint union of B crystals.

    Dimensions: N nodes, E directed edges.
        atomic_numbers (N,) int64; node_weights (N,) float32, sums to 1 within each crystal
        centre, neighbour (E,) int64; distances (E,) float32, Å; edge_weights (E,) float32
        crystal_index (N,) int64, values in [0, B)
        n_sites (B,) float32, atoms of the cell each graph was made from
    """

    atomic_numbers: Tensor
    node_weights: Tensor
    centre: Tensor
    neighbour: Tensor
    distances: Tensor
    edge_weights: Tensor
    crystal_index: Tensor
    n_sites: Tensor
    n_crystals: int

    @classmethod
    def from_packed(cls, packed: PackedGraphs) -> "GraphBatch":
        """All graphs of a packed set."""
        shift = torch.from_numpy(np.repeat(packed.node_offsets[:-1], packed.n_edges))
        index = torch.from_numpy(packed.edge_index.astype(np.int64))
        return cls(
            atomic_numbers=torch.from_numpy(packed.atomic_numbers.astype(np.int64)),
            node_weights=torch.from_numpy(np.ascontiguousarray(packed.node_weights)),
            centre=index[0] + shift,
            neighbour=index[1] + shift,
            distances=torch.from_numpy(np.ascontiguousarray(packed.distances)),
            edge_weights=torch.from_numpy(np.ascontiguousarray(packed.edge_weights)),
            crystal_index=torch.from_numpy(np.repeat(np.arange(len(packed)), packed.n_nodes)),
            n_sites=torch.from_numpy(packed.n_sites.astype(np.float32)),
            n_crystals=len(packed),
        )

    @classmethod
    def collate(cls, graphs: Sequence[CrystalGraph]) -> "GraphBatch":
        return cls.from_packed(PackedGraphs.pack(graphs))

    def to(self, device: torch.device) -> "GraphBatch":
        """The same on `device`; to a GPU from pinned memory, so that the copy runs beside the computation."""
        if device.type == "cpu":
            return self

        def move(tensor: Tensor) -> Tensor:
            return tensor.pin_memory().to(device, non_blocking=True)

        return GraphBatch(
            atomic_numbers=move(self.atomic_numbers),
            node_weights=move(self.node_weights),
            centre=move(self.centre),
            neighbour=move(self.neighbour),
            distances=move(self.distances),
            edge_weights=move(self.edge_weights),
            crystal_index=move(self.crystal_index),
            n_sites=move(self.n_sites),
            n_crystals=self.n_crystals,
        )
