"""SchNet: continuous-filter convolutions over all neighbours within a cutoff (Schütt 2017; Krawczuk & Venturi 2020).

Dimensions used below: N nodes, B crystals, F `n_atom_basis`, C `n_filters`,
R Gaussians, G grid points of distance.
"""

import math
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.schnet_pairs import Grid, Pairs
from app.structures.elements import MAX_ATOMIC_NUMBER

Part = Literal["embedding", "interactions", "output"]

_SMALLEST = 1e-10
"""Gaussians below this are 0: beside the others they change no float32 sum, and denormal floats are slow."""


class SchNetSettings(BaseModel):
    """Constructor arguments. The defaults are arch 1 of Krawczuk & Venturi; arch 2 is 4 interactions, widths of 30.

    The paper gives the Gaussians of Schütt 2017 (0 to 30 Å, gamma 10, which come 0.1 Å apart) but no cutoff: 5 Å, a
    cosine cutoff, sums over neighbours and two output layers are those of SchNetPack, on which it builds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_atom_basis: int = Field(default=128, ge=2, description="F; width of the atoms' features")
    n_filters: int = Field(default=128, ge=1, description="C; width of the convolutions")
    n_interactions: int = Field(default=6, ge=1)
    cutoff: float = Field(default=5.0, gt=0, le=30, description="Å; no neighbour beyond has an effect")
    cutoff_function: Literal["cosine", "none"] = Field(
        default="cosine", description="`cosine` fades neighbours out towards the cutoff, `none` drops them at it."
    )
    radial_end: float = Field(default=30.0, gt=0, le=100, description="Å; centre of the last Gaussian")
    radial_step: float = Field(default=0.1, ge=0.02, description="Å; distance between centres")
    gamma: float = Field(default=10.0, gt=0, le=50, description="1/Å²; exp(-gamma (d - centre)²)")
    readout: Literal["mean", "sum"] = Field(
        default="mean",
        description="Of the atoms' contributions: `mean` for values per atom, `sum` for those of a cell.",
    )
    atom_scale: float = Field(default=1.0, gt=0, description="Spread of the target per atom, for `sum`.")
    atom_shift: float = Field(default=0.0, description="Mean of the target per atom, for `sum`.")

    @model_validator(mode="after")
    def _gaussians_reach_the_cutoff(self) -> Self:
        if self.radial_end < self.cutoff:
            raise ValueError(f"the Gaussians end at {self.radial_end:g} Å, before the cutoff of {self.cutoff:g} Å")
        return self

    def graph_settings(self) -> GraphSettings:
        """The graph this network reads: every neighbour within the cutoff."""
        return GraphSettings(cutoff=self.cutoff, n_neighbours=None)


def shifted_softplus(x: Tensor) -> Tensor:
    """Eq. 20: ln(0.5 exp(x) + 0.5)."""
    return functional.softplus(x) - math.log(2.0)


class ShiftedSoftplus(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return shifted_softplus(x)


def gaussians(distances: Tensor, settings: SchNetSettings) -> Tensor:
    """Eq. 16 at distances (D,) within the cutoff -> (D, R), only of the centres that are felt there."""
    reach = settings.cutoff + math.sqrt(-math.log(_SMALLEST) / settings.gamma)
    n = math.floor(min(reach, settings.radial_end) / settings.radial_step + 1e-6) + 1
    centres = torch.arange(n) * settings.radial_step
    values = torch.exp(-settings.gamma * (distances[:, None] - centres) ** 2)
    return torch.where(values > _SMALLEST, values, 0.0)


class Interaction(nn.Module):
    """Fig. 5: atom-wise layer, continuous-filter convolution, two atom-wise layers; the residual is added outside."""

    def __init__(self, settings: SchNetSettings, n_gaussians: int) -> None:
        super().__init__()
        f, c = settings.n_atom_basis, settings.n_filters
        self.filter = nn.Sequential(nn.Linear(n_gaussians, c), ShiftedSoftplus(), nn.Linear(c, c))
        self.inward = nn.Linear(f, c, bias=False)
        self.outward = nn.Sequential(nn.Linear(c, f), ShiftedSoftplus(), nn.Linear(f, f))

    def forward(self, nodes: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
        """nodes (N, F), filters (G, C) on the grid -> v (N, F) of eq. 18."""
        update: Tensor = self.outward(pairs.convolve(self.inward(nodes).float(), filters))
        return update


class SchNet(nn.Module):
    """Embedding by atomic number, interactions, and a sum or mean of what the output layers give for each atom."""

    radial: Tensor

    def __init__(self, settings: SchNetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.grid = Grid.for_gaussians(settings.cutoff, settings.gamma)
        self.register_buffer("radial", gaussians(self.grid.distances, settings), persistent=False)
        f = settings.n_atom_basis
        self.embedding = nn.Embedding(MAX_ATOMIC_NUMBER + 1, f)
        self.interactions = nn.ModuleList(
            Interaction(settings, self.radial.shape[1]) for _ in range(settings.n_interactions)
        )
        self.output = nn.Sequential(nn.Linear(f, f // 2), ShiftedSoftplus(), nn.Linear(f // 2, 1))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def freeze(self, *parts: Part) -> None:
        """Keep the weights of these parts. TL1 keeps none, TL2 the embedding, TL3 embedding and interactions."""
        for part in parts:
            getattr(self, part).requires_grad_(False)

    def filters(self) -> list[Tensor]:
        """The filter of each interaction on the grid, (G, C) float32 under autocast too: they cost little."""
        with torch.autocast(self.radial.device.type, enabled=False):
            return [interaction.filter(self.radial) for interaction in _interactions(self)]

    def nodes(self, batch: GraphBatch, filters: list[Tensor]) -> Tensor:
        """Features of the atoms after all interactions, (N, F)."""
        pairs = Pairs.of(batch, self.grid, self.settings.cutoff_function == "cosine")
        nodes: Tensor = self.embedding(batch.atomic_numbers)
        for interaction, table in zip(_interactions(self), filters, strict=True):
            nodes = nodes + interaction(nodes, table, pairs)
        return nodes

    def contributions(self, nodes: Tensor) -> Tensor:
        """Of each atom, from its features (N, F), to the answer: (N,) float32, on the learned scale."""
        outputs: Tensor = self.output(nodes).squeeze(1).float()
        return outputs * self.settings.atom_scale + self.settings.atom_shift

    def answer(self, nodes: Tensor, batch: GraphBatch) -> Tensor:
        """What `nodes` gives -> one number per crystal on the learned scale, (B,) float32."""
        mean = _pool(self.contributions(nodes) * batch.node_weights, batch)
        return mean * batch.n_sites if self.settings.readout == "sum" else mean

    @staticmethod
    def pool(nodes: Tensor, batch: GraphBatch) -> Tensor:
        """Crystal features: the mean of the atoms', (N, F) -> (B, F) float32."""
        return _pool(nodes.float() * batch.node_weights[:, None], batch)

    def embed(self, batch: GraphBatch) -> Tensor:
        """Crystal features, (B, F)."""
        return self.pool(self.nodes(batch, self.filters()), batch)

    def predict(self, batch: GraphBatch, filters: list[Tensor]) -> Tensor:
        """As `forward`, with `filters` as the method of that name gives them."""
        return self.answer(self.nodes(batch, filters), batch)

    def forward(self, batch: GraphBatch) -> Tensor:
        """One number per crystal on the learned scale, (B,) float32."""
        return self.predict(batch, self.filters())


def _interactions(network: SchNet) -> list[Interaction]:
    return [module for module in network.interactions if isinstance(module, Interaction)]


def _pool(values: Tensor, batch: GraphBatch) -> Tensor:
    """Sum over the nodes of each crystal: (N, ...) -> (B, ...)."""
    zeros = torch.zeros(batch.n_crystals, *values.shape[1:], device=values.device, dtype=values.dtype)
    return zeros.index_add(0, batch.crystal_index, values)


class InferenceSchNet(nn.Module):
    """A trained `SchNet` for predictions only: its filters are computed once and see no later change of the weights."""

    def __init__(self, network: SchNet) -> None:
        super().__init__()
        self.network = network
        with torch.no_grad():
            for index, table in enumerate(network.filters()):
                self.register_buffer(f"filter_{index}", table, persistent=False)

    @torch.inference_mode()
    def nodes(self, batch: GraphBatch) -> Tensor:
        """Features of the atoms after all interactions, (N, F)."""
        return self.network.nodes(batch, list(self.buffers(recurse=False)))

    @torch.inference_mode()
    def forward(self, batch: GraphBatch) -> Tensor:
        """One number per crystal on the learned scale, (B,) float32."""
        return self.network.answer(self.nodes(batch), batch)
