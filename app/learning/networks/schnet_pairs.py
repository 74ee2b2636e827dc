"""The convolution of SchNet on filters from a table over distances, summed over all edges between the same two nodes.

The filter of an interaction is a smooth function of one distance. So it is computed on a fine grid of distances, a
few hundred rows whatever the batch, and interpolated between them. And since the features of the neighbour are the
same for all edges from one node to another, the sum over those edges is taken of the filters alone.

Dimensions: N nodes, E edges, P pairs, G grid points, C filters.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from app.learning.graphs.batch import GraphBatch

_N_POINTS = 4


class Grid(NamedTuple):
    """Distances at which filters are tabulated; both in Å."""

    cutoff: float
    step: float

    @classmethod
    def for_gaussians(cls, cutoff: float, gamma: float) -> "Grid":
        """Fine enough for Gaussians exp(-gamma d²): cubic interpolation errs by less than 1e-5 of their height."""
        return cls(cutoff, 0.06 / math.sqrt(gamma))

    @property
    def n_steps(self) -> int:
        return math.ceil(self.cutoff / self.step)

    @property
    def distances(self) -> Tensor:
        """From one step below 0 to beyond the cutoff, (G,)."""
        return (torch.arange(self.n_steps + _N_POINTS) - 1) * self.step


class Bags(NamedTuple):
    """Weighted sums of rows of a matrix: items (I,) int64, weights (I,), starts (S,) int64, where each sum begins."""

    items: Tensor
    weights: Tensor
    starts: Tensor

    def sum(self, matrix: Tensor) -> Tensor:
        """(rows, C) -> (S, C)"""
        return functional.embedding_bag(
            self.items, matrix, self.starts, mode="sum", per_sample_weights=self.weights.to(matrix.dtype)
        )


class Pairs(NamedTuple):
    """Edges of a batch taken together where they lead from the same node to the same node.

    centre, neighbour (P,) int64. `of_table` sums the rows of a table for each pair, `of_pairs` (None where no gradient
    is wanted) the pairs for each row: the transpose.
    """

    centre: Tensor
    neighbour: Tensor
    of_table: Bags
    of_pairs: Bags | None

    @classmethod
    def of(cls, batch: GraphBatch, grid: Grid, cosine: bool) -> "Pairs":
        """Edges beyond the cutoff have no weight; with `cosine` the weight falls to 0 there smoothly.

        Edges of one pair that do not lie behind each other stay several pairs, which only costs time.
        """
        first_of_pair = torch.ones_like(batch.centre, dtype=torch.bool)
        first_of_pair[1:] = (batch.centre[1:] != batch.centre[:-1]) | (batch.neighbour[1:] != batch.neighbour[:-1])
        starts = torch.nonzero(first_of_pair).squeeze(1)
        steps = (batch.distances / grid.step).clamp(max=grid.n_steps)
        below = steps.floor()
        rows = (below.long()[:, None] + torch.arange(_N_POINTS, device=steps.device)).flatten()
        weights = batch.edge_weights * _envelope(batch.distances, grid.cutoff, cosine)
        row_weights = (_cubic(steps - below) * weights[:, None]).flatten()
        of_pairs = None
        if torch.is_grad_enabled():
            pair = (torch.cumsum(first_of_pair, 0) - 1).repeat_interleave(_N_POINTS)
            ordered, order = torch.sort(rows, stable=True)
            every_row = torch.arange(grid.n_steps + _N_POINTS, device=steps.device)
            of_pairs = Bags(pair[order], row_weights[order], torch.searchsorted(ordered, every_row))
        of_table = Bags(rows, row_weights, starts * _N_POINTS)
        return cls(batch.centre[starts], batch.neighbour[starts], of_table, of_pairs)

    def convolve(self, features: Tensor, table: Tensor) -> Tensor:
        """Eq. 15: for each node the sum over its neighbours of features times filter.

        features (N, C) float32, table (G, C) float32, the filter on the grid -> (N, C)
        """
        convolved: Tensor = _Convolution.apply(features, table, self)  # type: ignore[no-untyped-call]
        return convolved


class _Convolution(torch.autograd.Function):
    """By itself autograd would keep and pass over more arrays of (P, C): 1.7 times the time of a training step."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, table: Tensor, pairs: Pairs) -> Tensor:
        filters = pairs.of_table.sum(table)
        message = features.index_select(0, pairs.neighbour).mul_(filters)
        ctx.save_for_backward(features, filters)
        ctx.pairs = pairs
        return torch.zeros_like(features).index_add_(0, pairs.centre, message)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, filters = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        of_features, of_table = None, None
        of_message = gradients[0].contiguous().index_select(0, pairs.centre)
        if ctx.needs_input_grad[1]:
            assert pairs.of_pairs is not None
            of_table = pairs.of_pairs.sum(features.index_select(0, pairs.neighbour).mul_(of_message))
        if ctx.needs_input_grad[0]:
            of_features = torch.zeros_like(features).index_add_(0, pairs.neighbour, of_message.mul_(filters))
        return of_features, of_table, None


def _envelope(distances: Tensor, cutoff: float, cosine: bool) -> Tensor:
    if cosine:
        return 0.5 * (torch.cos(distances.clamp(max=cutoff) * (math.pi / cutoff)) + 1.0)
    return (distances <= cutoff).to(distances.dtype)


def _cubic(t: Tensor) -> Tensor:
    """Lagrange weights (E, 4) of the points -1, 0, 1, 2 at t (E,) in [0, 1]."""
    below, above, beyond = t + 1.0, t - 1.0, t - 2.0
    return torch.stack(
        [-t * above * beyond / 6, below * above * beyond / 2, -below * t * beyond / 2, below * t * above / 6], dim=1
    )
