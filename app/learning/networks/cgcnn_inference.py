"""CGCNN for predictions only: the same function as `Cgcnn` in evaluation mode, in fewer passes over memory.

Batch normalisation is folded into the linear parts, the two gathers of an edge are one bag, the edge part is added by
the matrix product itself, and messages are weighted and summed in one pass. On a CPU the passes over the (E, 2F)
array, not the arithmetic, are what costs.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn, GatedConvolution, RadialBasis

Activation = Callable[[Tensor], Tensor]


class _Edges(NamedTuple):
    """Edges of a batch, as bags: `ends` (2E,) are rows of the node parts, two for each of `pairs` (E,), `order` (E,)
    the edges themselves, one bag a node from `starts` (N,) on, with `weights` (E,); `radial` (E, R)."""

    ends: Tensor
    pairs: Tensor
    order: Tensor
    starts: Tensor
    weights: Tensor
    radial: Tensor


class InferenceCgcnn(nn.Module):
    """Made from a trained gated `Cgcnn`, whose later changes it does not see. Not differentiable."""

    def __init__(self, network: Cgcnn) -> None:
        super().__init__()
        settings = network.settings
        self.radial = RadialBasis(settings.cutoff, settings.radial_step)
        convolutions = [c for c in network.convolutions if isinstance(c, GatedConvolution)]
        if len(convolutions) != len(network.convolutions):
            raise ValueError("only gated convolutions can be folded")
        table = network.embedding(network.element_table)
        self.register_buffer("embedded", table.detach().clone(), persistent=False)
        self.convolutions = nn.ModuleList(_FoldedConvolution(c) for c in convolutions)
        self.activation = _ACTIVATIONS[settings.activation]
        self.hidden = nn.ModuleList(_frozen_linear(layer) for layer in network.hidden)
        self.output = _frozen_linear(network.output)

    embedded: Tensor

    @torch.inference_mode()
    def embed(self, batch: GraphBatch) -> Tensor:
        """Crystal features before the fully connected layers, (B, F)."""
        nodes = self.embedded.index_select(0, batch.atomic_numbers)
        n_nodes, n_edges, device = nodes.shape[0], batch.distances.shape[0], nodes.device
        order = torch.arange(max(n_nodes, n_edges), device=device)
        edges = _Edges(
            torch.stack([batch.centre, batch.neighbour + n_nodes], dim=1).view(-1),
            torch.arange(0, 2 * n_edges, 2, device=device),
            order[:n_edges],
            torch.searchsorted(batch.centre, order[:n_nodes]),
            batch.edge_weights,
            self.radial(batch.distances),
        )
        for convolution in self.convolutions:
            nodes = convolution(nodes, edges)
        firsts = torch.searchsorted(batch.crystal_index, order[: batch.n_crystals])
        return _weighted_sums(nodes, order[:n_nodes], firsts, batch.node_weights)

    @torch.inference_mode()
    def answer(self, crystals: Tensor) -> Tensor:
        """What `embed` gives, (B, F) -> one number per crystal on the learned scale, (B,) float32."""
        features = self.activation(crystals)
        for layer in self.hidden:
            features = self.activation(layer(features))
        return torch.as_tensor(self.output(features).squeeze(1))

    def forward(self, batch: GraphBatch) -> Tensor:
        """One number per crystal on the learned scale, (B,) float32."""
        return self.answer(self.embed(batch))


class _FoldedConvolution(nn.Module):
    """v + norm(sum of messages), with both normalisations inside the weights.

    Buffers: centre and neighbour (F, 2F), what a node is to an edge at either end, bias (2F,), edge (R, 2F),
    update_scale and update_shift (F,).
    """

    centre: Tensor
    neighbour: Tensor
    bias: Tensor
    edge: Tensor
    update_scale: Tensor
    update_shift: Tensor

    def __init__(self, convolution: GatedConvolution) -> None:
        super().__init__()
        scale, shift = _affine(convolution.norm_message)
        update_scale, update_shift = _affine(convolution.norm_update)
        for name, value in {
            "centre": (convolution.centre.weight * scale[:, None]).t(),
            "neighbour": (convolution.neighbour.weight * scale[:, None]).t(),
            "bias": convolution.centre.bias * scale + shift,
            "edge": (convolution.edge.weight * scale[:, None]).t(),
            "update_scale": update_scale,
            "update_shift": update_shift,
        }.items():
            self.register_buffer(name, value.detach().contiguous(), persistent=False)
        self.activation = _ACTIVATIONS["softplus" if isinstance(convolution.activation, nn.Softplus) else "silu"]

    def forward(self, nodes: Tensor, edges: _Edges) -> Tensor:
        """nodes (N, F) -> (N, F)."""
        n_nodes, width = nodes.shape
        parts = nodes.new_empty(2 * n_nodes, 2 * width)
        torch.addmm(self.bias, nodes, self.centre, out=parts[:n_nodes])
        torch.mm(nodes, self.neighbour, out=parts[n_nodes:])
        z = torch.embedding_bag(parts, edges.ends, edges.pairs)[0]
        z.addmm_(edges.radial, self.edge)
        message = torch.sigmoid(z[:, :width]).mul_(self.activation(z[:, width:]))
        total = _weighted_sums(message, edges.order, edges.starts, edges.weights)
        updated = torch.addcmul(nodes, total, self.update_scale).add_(self.update_shift)
        return self.activation(updated)


def _weighted_sums(rows: Tensor, order: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Of rows (n, F) in their `order` (n,), from each of `starts` (m,) to the next, (m, F)."""
    # For few rows functional.embedding_bag takes longer to begin than to work.
    return torch.embedding_bag(rows, order, starts, False, 0, False, weights)[0]


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale and shift (F,) that batch normalisation comes to in evaluation mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _frozen_linear(layer: nn.Module) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    copy = nn.Linear(layer.in_features, layer.out_features, device=layer.weight.device)
    copy.load_state_dict(layer.state_dict())
    return copy.requires_grad_(requires_grad=False)


_ACTIVATIONS: dict[str, Activation] = {"softplus": functional.softplus, "silu": functional.silu}
