"""The arithmetic of K networks of one architecture in one go, on tensors of weights with a leading K.

The same mathematics as `app.learning.networks.cgcnn` and `elemnet`, layer by layer, with names of weights as there.
Dimensions: K members, M rows (nodes, edges or crystals of one member), C channels.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from app.learning.networks.cgcnn import CgcnnSettings, RadialBasis
from app.learning.networks.stacked_batch import N_ELEMENT_ROWS, Rows, StackedGraphBatch, StackedVectorBatch

Weights = Mapping[str, Tensor]

BATCH_NORM_EPS = 1e-5
BATCH_NORM_MOMENTUM = 0.1
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"softplus": functional.softplus, "silu": functional.silu}


class Norms(Protocol):
    """The batch normalisations of the networks, called by the name of the layer."""

    def __call__(self, name: str, values: Tensor, rows: Rows | None) -> Tensor:
        """(K, M, C) -> (K, M, C)."""
        ...


class LearnedNorms:
    """Evaluation mode: scale and shift (K, 1, C) by name of layer; a layer without them was folded away."""

    def __init__(self, affine: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.affine = affine

    def __call__(self, name: str, values: Tensor, rows: Rows | None) -> Tensor:  # noqa: ARG002 - see Norms
        if name not in self.affine:
            return values
        scale, shift = self.affine[name]
        return torch.addcmul(shift, values, scale).to(values.dtype)


class BatchNorms:
    """Training mode: the statistics of each member's batch; frozen layers keep their running ones."""

    def __init__(self, weights: Weights, buffers: Weights, frozen: frozenset[str]) -> None:
        self.weights, self.buffers = weights, buffers
        self.frozen = LearnedNorms({name: affine(weights, buffers, name) for name in frozen})
        self._seen: list[tuple[str, Tensor, Tensor, Rows]] = []

    def __call__(self, name: str, values: Tensor, rows: Rows | None) -> Tensor:
        if name in self.frozen.affine:
            return self.frozen(name, values, rows)
        assert rows is not None
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        with torch.autocast(values.device.type, enabled=False) if _is_autocast(values) else nullcontext():
            normalised, mean, variance = _MaskedBatchNorm.apply(values, weight, bias, rows.mask, rows.counts)  # type: ignore[no-untyped-call]
        self._seen.append((name, mean, variance, rows))
        return cast(Tensor, normalised)

    @torch.no_grad()
    def move_running(self) -> None:
        """Move the running statistics of all layers called, in as few operations as it takes."""
        if not self._seen:
            return
        means = [mean[:, 0] for _, mean, _, _ in self._seen]
        variances = [variance[:, 0].mul_(rows.bessel) for _, _, variance, rows in self._seen]
        names = [name for name, *_ in self._seen]
        running = [self.buffers[f"{name}.running_{kind}"] for kind in ("mean", "var") for name in names]
        torch._foreach_lerp_(running, [*means, *variances], BATCH_NORM_MOMENTUM)
        torch._foreach_add_([self.buffers[f"{name}.num_batches_tracked"] for name in names], 1)
        self._seen.clear()


def _is_autocast(values: Tensor) -> bool:
    return torch.is_autocast_enabled(values.device.type)


class _MaskedBatchNorm(torch.autograd.Function):
    """Batch normalisation over the real rows of each member. Padding comes out finite and must get no gradient.

    Few operations, each on all members: on small batches it is their number that takes the time.
    """

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """values (K, M, C), weight and bias (K, C) -> normalised (K, M, C), mean and variance (K, 1, C)."""
        mask = mask.to(weight.dtype)
        over_rows = mask.transpose(1, 2)
        # At least float32, also where the values are not.
        exact = values.to(weight.dtype)
        mean = torch.bmm(over_rows, exact).div_(counts)
        centred = exact - mean
        variance = torch.bmm(over_rows, centred.square()).div_(counts)
        inverse_std = torch.rsqrt(variance + BATCH_NORM_EPS)
        standard = centred.mul_(inverse_std)
        normalised = torch.addcmul(bias[:, None], standard, weight[:, None]).to(values.dtype)
        ctx.save_for_backward(standard.to(values.dtype), weight[:, None] * inverse_std, mask, counts)
        ctx.mark_non_differentiable(mean, variance)
        return normalised, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        standard, scale, mask, counts = ctx.saved_tensors
        total = gradient.sum(1, keepdim=True, dtype=scale.dtype)
        along = (gradient * standard).sum(1, keepdim=True, dtype=scale.dtype)
        # The gradient of padded rows is 0 already; what comes from mean and variance must not reach them either.
        common = torch.addcmul(total / counts, standard, along / counts)
        to_values = torch.addcmul(gradient, mask, common, value=-1.0).mul_(scale)
        return to_values.to(gradient.dtype), along[:, 0], total[:, 0], None, None


def affine(weights: Weights, buffers: Weights, name: str) -> tuple[Tensor, Tensor]:
    """Scale and shift (K, 1, C) of a batch normalisation in evaluation mode."""
    scale = weights[f"{name}.weight"] * torch.rsqrt(buffers[f"{name}.running_var"] + BATCH_NORM_EPS)
    shift = torch.addcmul(weights[f"{name}.bias"], buffers[f"{name}.running_mean"], scale, value=-1.0)
    return scale[:, None], shift[:, None]


def for_evaluation(weights: Weights, buffers: Weights) -> tuple[dict[str, Tensor], LearnedNorms]:
    """Weights and normalisations in evaluation mode, the ones that follow a product folded into its weights.

    Those are `norm_message` of gated convolutions (one pass less over the edges) and `norm_update` of plain ones.
    """
    result = dict(weights)
    names = {name.removesuffix(".running_mean") for name in buffers if name.endswith(".running_mean")}
    norms = {name: affine(weights, buffers, name) for name in names}
    for prefix in {name.rpartition(".")[0] + "." for name in names}:
        layer = f"{prefix}norm_message" if f"{prefix}norm_message" in names else f"{prefix}norm_update"
        scale, shift = norms.pop(layer)
        # The sum over neighbours is linear, so the scale passes through it.
        for part in ("centre", "neighbour", "edge"):
            result[f"{prefix}{part}.weight"] = weights[f"{prefix}{part}.weight"] * scale.transpose(1, 2)
        result[f"{prefix}centre.bias"] = torch.addcmul(shift[:, 0], weights[f"{prefix}centre.bias"], scale[:, 0])
    return result, LearnedNorms(norms)


def linear(weights: Weights, name: str, values: Tensor) -> Tensor:
    """(K or 1, M, in) -> (K, M, out) with the weights (K, out, in) and, if there is one, the bias (K, out)."""
    weight = weights[f"{name}.weight"].transpose(1, 2)
    values = values.expand(weight.shape[0], -1, -1)
    bias = weights.get(f"{name}.bias")
    return torch.bmm(values, weight) if bias is None else torch.baddbmm(bias[:, None], values, weight)


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """(K, M, C) by (K * L,) -> (K, L, C)."""
    return values.flatten(0, 1).index_select(0, index).view(values.shape[0], -1, values.shape[2])


def _sum_by(index: Tensor, values: Tensor, n_rows: int) -> Tensor:
    """(K, L, C) by (K * L,) -> (K, n_rows, C)."""
    k, _, channels = values.shape
    total = torch.zeros(k * n_rows, channels, device=values.device, dtype=values.dtype)
    return total.index_add_(0, index, values.flatten(0, 1)).view(k, n_rows, channels)


def cgcnn_forward(
    settings: CgcnnSettings,
    radial_basis: RadialBasis,
    element_table: Tensor,
    weights: Weights,
    norms: Norms,
    batch: StackedGraphBatch,
) -> Tensor:
    """(K, B) float32 on the learned scale. Raises KeyError where the weights are not those of a Cgcnn."""
    assert element_table.shape[0] == N_ELEMENT_ROWS
    activation = _ACTIVATIONS[settings.activation]
    convolve = _gated_convolution if settings.convolution == "gated" else _plain_convolution
    nodes = _gather(linear(weights, "embedding", element_table[None]), batch.element)
    radial = cast(Tensor, radial_basis(batch.distances.flatten()))
    radial = radial.view(*batch.distances.shape, -1)
    for index in range(settings.n_conv):
        nodes = convolve(f"convolutions.{index}.", weights, norms, activation, nodes, radial, batch)
    pooled = _sum_by(batch.crystal, nodes * batch.node_weights.to(nodes.dtype), batch.n_crystals)
    features = activation(pooled)
    for index in range(settings.n_hidden):
        features = activation(linear(weights, f"hidden.{index}", features))
    return linear(weights, "output", features).squeeze(2).float()


def _gated_convolution(
    prefix: str,
    weights: Weights,
    norms: Norms,
    activation: Callable[[Tensor], Tensor],
    nodes: Tensor,
    radial: Tensor,
    batch: StackedGraphBatch,
) -> Tensor:
    """nodes (K, N, F), radial (K or 1, E, R) -> (K, N, F); see GatedConvolution."""
    z = linear(weights, f"{prefix}edge", radial)
    z += _gather(linear(weights, f"{prefix}centre", nodes), batch.centre)
    z += _gather(linear(weights, f"{prefix}neighbour", nodes), batch.neighbour)
    gate, core = norms(f"{prefix}norm_message", z, batch.edge_rows).chunk(2, dim=2)
    message = torch.sigmoid(gate) * activation(core) * batch.edge_weights
    total = _sum_by(batch.centre, message.to(nodes.dtype), nodes.shape[1])
    return activation(nodes + norms(f"{prefix}norm_update", total, batch.node_rows))


def _plain_convolution(
    prefix: str,
    weights: Weights,
    norms: Norms,
    activation: Callable[[Tensor], Tensor],
    nodes: Tensor,
    radial: Tensor,
    batch: StackedGraphBatch,
) -> Tensor:
    """nodes (K, N, F), radial (K or 1, E, R) -> (K, N, F); see PlainConvolution."""
    message = _gather(linear(weights, f"{prefix}neighbour", nodes), batch.neighbour)
    message = (message + linear(weights, f"{prefix}edge", radial)) * batch.edge_weights
    total = _sum_by(batch.centre, message.to(nodes.dtype), nodes.shape[1])
    return activation(norms(f"{prefix}norm_update", linear(weights, f"{prefix}centre", nodes) + total, batch.node_rows))


def elemnet_forward(n_hidden: int, weights: Weights, batch: StackedVectorBatch) -> Tensor:
    """(K, B) float32 on the learned scale, without dropout."""
    features = batch.features
    for index in range(n_hidden):
        features = torch.relu(linear(weights, f"hidden.{index}", features))
    return linear(weights, "output", features).squeeze(2).float()
