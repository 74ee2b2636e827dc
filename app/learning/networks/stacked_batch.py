"""What a stack of K networks of one architecture takes at once: one batch for each, or one for all.

Dimensions: K members, N nodes, E edges, B crystals of one member. Members whose own batch is smaller are padded.
Indices point into the K members' rows behind each other, so that one gather serves the whole stack.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.learning.graphs.batch import GraphBatch
from app.structures.elements import MAX_ATOMIC_NUMBER

N_ELEMENT_ROWS = MAX_ATOMIC_NUMBER + 1


@dataclass(frozen=True, slots=True)
class Rows:
    """Which of M padded rows are real.

    mask (K, M, 1) float32 of 1 and 0; counts (K, 1, 1) float32, the ones of each member, at least 1
    bessel (K, 1) float32, n / (n - 1): from the variance of n rows to that of what they are drawn from
    """

    mask: Tensor
    counts: Tensor
    bessel: Tensor


@dataclass(frozen=True, slots=True)
class StackedGraphBatch:
    """K unions of crystals.

        element (K * N,) int64, member * 101 + atomic number; node_weights (K or 1, N, 1) float32, 0 for padding
        centre, neighbour (K * E,) int64, member * N + node
        distances (K or 1, E) float32, Å; edge_weights (K or 1, E, 1) float32, 0 for padding
        crystal (K * N,) int64, member * B + crystal
        node_rows, edge_rows: None where no batch statistics are wanted

    A leading dimension of 1 stands for what is the same for all members.
    """

    element: Tensor
    node_weights: Tensor
    centre: Tensor
    neighbour: Tensor
    distances: Tensor
    edge_weights: Tensor
    crystal: Tensor
    n_members: int
    n_crystals: int
    node_rows: Rows | None = None
    edge_rows: Rows | None = None

    @classmethod
    def shared(cls, batch: GraphBatch, n_members: int) -> "StackedGraphBatch":
        """The same crystals for every member."""
        return cls(
            element=_repeated(batch.atomic_numbers, n_members, N_ELEMENT_ROWS),
            node_weights=batch.node_weights[None, :, None],
            centre=_repeated(batch.centre, n_members, batch.atomic_numbers.shape[0]),
            neighbour=_repeated(batch.neighbour, n_members, batch.atomic_numbers.shape[0]),
            distances=batch.distances[None],
            edge_weights=batch.edge_weights[None, :, None],
            crystal=_repeated(batch.crystal_index, n_members, batch.n_crystals),
            n_members=n_members,
            n_crystals=batch.n_crystals,
        )


@dataclass(frozen=True, slots=True)
class StackedVectorBatch:
    """Input vectors (K or 1, B, features) float32."""

    features: Tensor
    n_members: int


StackedBatch = StackedGraphBatch | StackedVectorBatch


def _repeated(index: Tensor, n_members: int, stride: int) -> Tensor:
    """(M,) -> (K * M,): the same index into each member's `stride` rows."""
    shift = torch.arange(n_members, device=index.device) * stride
    return (index + shift[:, None]).flatten()
