"""K networks of one architecture as one: their weights in tensors with a leading K, all computed in one pass."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from app.learning.graphs.batch import GraphBatch
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.stacked_batch import StackedBatch, StackedGraphBatch, StackedVectorBatch
from app.learning.networks.stacked_layers import (
    BATCH_NORM_EPS,
    BATCH_NORM_MOMENTUM,
    BatchNorms,
    Norms,
    Weights,
    cgcnn_forward,
    elemnet_forward,
    for_evaluation,
)


class NotStackable(ValueError):
    """The networks cannot be computed as one; the message says why."""


@dataclass(frozen=True, slots=True)
class StackedWeights:
    """State of K networks.

        trainable (K, P): every trainable weight behind the other, `layout` names them in the networks' own order
        frozen, buffers: the rest by name, with a leading K

    One matrix for all trainable weights makes gradient norm and optimiser a few operations whatever K is.
    """

    layout: tuple[tuple[str, torch.Size], ...]
    trainable: Tensor
    frozen: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @classmethod
    def of(cls, networks: Sequence[nn.Module], device: torch.device) -> "StackedWeights":
        """A copy of the networks' weights. Raises NotStackable."""
        require_stackable(networks)
        states = [network.state_dict() for network in networks]
        parameters = dict(networks[0].named_parameters())
        stacked = {name: torch.stack([s[name].detach().to(device) for s in states]) for name in states[0]}
        layout = tuple((name, p.shape) for name, p in parameters.items() if p.requires_grad)
        names = {name for name, _ in layout}
        parts = [stacked[name].flatten(1) for name, _ in layout]
        return cls(
            layout=layout,
            trainable=torch.cat(parts, 1) if parts else torch.zeros(len(networks), 0, device=device),
            frozen={name: v for name, v in stacked.items() if name in parameters and name not in names},
            buffers={name: v for name, v in stacked.items() if name not in parameters},
        )

    @property
    def frozen_norms(self) -> frozenset[str]:
        """Names of the batch normalisations none of whose weights is trained: they stay in evaluation mode."""
        norms = {name.removesuffix(".running_mean") for name in self.buffers if name.endswith(".running_mean")}
        return frozenset(n for n in norms if {f"{n}.weight", f"{n}.bias"} <= self.frozen.keys())

    def named(self, trainable: Tensor) -> dict[str, Tensor]:
        """Every weight by name; `trainable` (K, P) stands for this stack's own."""
        sizes = [shape.numel() for _, shape in self.layout]
        parts = torch.split(trainable, sizes, 1) if sizes else ()
        named = {name: part.view(-1, *shape) for (name, shape), part in zip(self.layout, parts, strict=True)}
        return {**named, **self.frozen}

    def head(self, n_members: int) -> "StackedWeights":
        """The first members, sharing memory with this."""
        return replace(
            self,
            trainable=self.trainable[:n_members],
            frozen={name: v[:n_members] for name, v in self.frozen.items()},
            buffers={name: v[:n_members] for name, v in self.buffers.items()},
        )

    def select(self, rows: Tensor) -> "StackedWeights":
        """A copy of the members at `rows` (K',)."""
        return replace(
            self,
            trainable=self.trainable[rows],
            frozen={name: v[rows] for name, v in self.frozen.items()},
            buffers={name: v[rows] for name, v in self.buffers.items()},
        )

    def state_dict(self, row: int) -> dict[str, Tensor]:
        """One network's `state_dict`, sharing memory with this."""
        return {name: v[row] for name, v in (self.named(self.trainable) | self.buffers).items()}


def require_stackable(networks: Sequence[nn.Module]) -> None:
    """Raises NotStackable unless all are of one architecture, with equal settings and the same weights frozen."""
    if not networks:
        raise NotStackable("There is no network to stack.")
    first = networks[0]
    if not isinstance(first, Cgcnn | ElemNet17):
        raise NotStackable(f"{type(first).__name__} networks cannot be stacked: Cgcnn and ElemNet17 can.")
    trained = [name for name, p in first.named_parameters() if p.requires_grad]
    for index, network in enumerate(networks):
        if type(network) is not type(first) or network.settings != first.settings:
            raise NotStackable(f"Network {index} is built otherwise than network 0: stacked ones need equal settings.")
        if [name for name, p in network.named_parameters() if p.requires_grad] != trained:
            raise NotStackable(f"Network {index} trains other weights than network 0.")
    if isinstance(first, ElemNet17) and first.settings.features != "elemental_fractions":
        raise NotStackable("Networks that standardise what they read cannot be stacked.")
    if isinstance(first, ElemNet17) and first.settings.dropout > 0:
        raise NotStackable(
            f"dropout is {first.settings.dropout:g}, 0 is needed: its random numbers would not be those of single runs."
        )
    for name, module in first.named_modules():
        if isinstance(module, nn.BatchNorm1d) and (module.eps, module.momentum) != (
            BATCH_NORM_EPS,
            BATCH_NORM_MOMENTUM,
        ):
            raise NotStackable(f"{name} has another eps or momentum than batch normalisations of stacked networks.")


class StackedForward:
    """The forward pass of a stack of networks like `network`, on weights handed in."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        """Raises NotStackable."""
        require_stackable([network])
        assert isinstance(network, Cgcnn | ElemNet17)
        self.settings = network.settings
        if isinstance(network, Cgcnn):
            self.element_table = network.element_table.to(device)
            self.radial = deepcopy(network.radial).to(device)

    def train(self, stack: StackedWeights, trainable: Tensor, batch: StackedBatch) -> Tensor:
        """(K, B) in training mode, a function of `trainable` (K, P); moves the running statistics in `stack`."""
        weights = stack.named(trainable)
        norms = BatchNorms(weights, stack.buffers, stack.frozen_norms)
        outputs = self(weights, norms, batch)
        norms.move_running()
        return outputs

    def __call__(self, weights: Weights, norms: Norms, batch: StackedBatch) -> Tensor:
        """(K, B) float32."""
        if isinstance(self.settings, ElemNetSettings):
            assert isinstance(batch, StackedVectorBatch)
            return elemnet_forward(len(self.settings.widths), weights, batch)
        assert isinstance(batch, StackedGraphBatch)
        return cgcnn_forward(self.settings, self.radial, self.element_table, weights, norms, batch)


class StackedEnsemble:
    """K trained networks that answer the same batch in one pass, in evaluation mode; the weights are copied.

    It stays on the device of the first network. Memory is that of one network's pass times K.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Raises NotStackable."""
        require_stackable(networks)
        device = next(networks[0].parameters()).device
        stack = StackedWeights.of(networks, device)
        self.n_members = len(networks)
        self._network = StackedForward(networks[0], device)
        self._weights, self._norms = for_evaluation(stack.named(stack.trainable), stack.buffers)

    @torch.inference_mode()
    def forward(self, batch: GraphBatch | Tensor) -> Tensor:
        """One number per member and crystal (or composition) on the learned scale, (K, B) float32."""
        if isinstance(batch, Tensor):
            return self._network(self._weights, self._norms, StackedVectorBatch(batch[None], self.n_members))
        return self._network(self._weights, self._norms, StackedGraphBatch.shared(batch, self.n_members))
