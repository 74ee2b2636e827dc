"""CGCNN for predictions only: the same function as `Cgcnn` in evaluation mode, in fewer passes over memory.

Batch normalisation is folded into the linear parts, the two gathers of an edge are one bag, the edge part is added by
the matrix product itself, and messages are weighted and summed in one pass. On a CPU the passes over the (E, 2F)
array, not the arithmetic, are what costs.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn, GatedConvolution, RadialBasis

Activation = Callable[[Tensor], Tensor]


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
        radial = self.radial(batch.distances)
        n_nodes, n_edges = nodes.shape[0], radial.shape[0]
        ends = torch.stack([batch.centre, batch.neighbour + n_nodes], dim=1)
        edges = torch.arange(n_edges, device=radial.device)
        starts = torch.searchsorted(batch.centre, torch.arange(n_nodes, device=radial.device))
        for convolution in self.convolutions:
            nodes = convolution(nodes, radial, ends, edges, starts, batch.edge_weights)
        order = torch.arange(n_nodes, device=radial.device)
        firsts = torch.searchsorted(batch.crystal_index, torch.arange(batch.n_crystals, device=radial.device))
        return functional.embedding_bag(order, nodes, firsts, mode="sum", per_sample_weights=batch.node_weights)

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

    Buffers: ends (F, 4F) gives the centre and the neighbour part of a node, ends_bias (4F,), edge (R, 2F),
    update_scale and update_shift (F,).
    """

    ends: Tensor
    ends_bias: Tensor
    edge: Tensor
    update_scale: Tensor
    update_shift: Tensor

    def __init__(self, convolution: GatedConvolution) -> None:
        super().__init__()
        scale, shift = _affine(convolution.norm_message)
        centre = convolution.centre.weight * scale[:, None]
        neighbour = convolution.neighbour.weight * scale[:, None]
        bias = convolution.centre.bias * scale + shift
        update_scale, update_shift = _affine(convolution.norm_update)
        for name, value in {
            "ends": torch.cat([centre, neighbour]).t(),
            "ends_bias": torch.cat([bias, torch.zeros_like(bias)]),
            "edge": (convolution.edge.weight * scale[:, None]).t(),
            "update_scale": update_scale,
            "update_shift": update_shift,
        }.items():
            self.register_buffer(name, value.detach().contiguous(), persistent=False)
        self.activation = _ACTIVATIONS["softplus" if isinstance(convolution.activation, nn.Softplus) else "silu"]

    def forward(
        self, nodes: Tensor, radial: Tensor, ends: Tensor, edges: Tensor, starts: Tensor, weights: Tensor
    ) -> Tensor:
        """nodes (N, F), radial (E, R), ends (E, 2) rows of the stacked node parts, starts (N,) -> (N, F)."""
        n_nodes, width = nodes.shape
        parts = torch.addmm(self.ends_bias, nodes, self.ends).view(n_nodes, 2, 2 * width)
        stacked = parts.transpose(0, 1).reshape(2 * n_nodes, 2 * width)
        z = functional.embedding_bag(ends, stacked, mode="sum")
        z.addmm_(radial, self.edge)
        message = torch.sigmoid(z[:, :width]).mul_(self.activation(z[:, width:]))
        total = functional.embedding_bag(edges, message, starts, mode="sum", per_sample_weights=weights)
        updated = torch.addcmul(nodes, total, self.update_scale).add_(self.update_shift)
        return self.activation(updated)


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
