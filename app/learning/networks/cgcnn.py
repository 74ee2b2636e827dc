"""CGCNN: crystal graph convolutional network (Xie & Grossman 2018), as used by Lee & Asahi 2021.

Dimensions used below: N nodes, E edges, B crystals, F `atom_feature_dim`, R radial functions.
"""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.learning.graphs.batch import GraphBatch
from app.learning.networks.element_features import N_ELEMENT_FEATURES, element_features

_MAX_EXPONENT = 64.0


class CgcnnSettings(BaseModel):
    """Constructor arguments; the paper's and the original code's names stand in the descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    atom_feature_dim: int = Field(default=64, ge=1, description="F; atom_fea_len")
    n_conv: int = Field(default=3, ge=1)
    hidden_dim: int = Field(default=128, ge=1, description="h_fea_len; 64 for the paper's target models")
    n_hidden: int = Field(default=1, ge=1, description="n_h")
    convolution: Literal["gated", "plain"] = Field(default="gated", description="eq. 3 or eq. 1 of Lee & Asahi")
    activation: Literal["softplus", "silu"] = "softplus"
    cutoff: float = Field(default=8.0, gt=0, description="Å; dmax of the Gaussians")
    radial_step: float = Field(default=0.2, gt=0, description="Å; spacing and width of the Gaussians")


def _activation(name: str) -> nn.Module:
    return nn.Softplus() if name == "softplus" else nn.SiLU()


class RadialBasis(nn.Module):
    """Gaussians exp(-(d - mu)^2 / step^2) with centres 0, step, ... cutoff."""

    centres: Tensor

    def __init__(self, cutoff: float, step: float) -> None:
        super().__init__()
        self.step = step
        n = round(cutoff / step) + 1
        self.register_buffer("centres", torch.linspace(0.0, cutoff, n), persistent=False)

    @property
    def n_functions(self) -> int:
        return int(self.centres.shape[0])

    def forward(self, distances: Tensor) -> Tensor:
        """(E,) Å -> (E, R). Exponents are clamped: denormal floats would slow every product that follows."""
        scaled = (distances[:, None] - self.centres).div_(self.step)
        return torch.exp_(scaled.square_().clamp_(max=_MAX_EXPONENT).neg_())


class GatedConvolution(nn.Module):
    """Eq. 3: v_i + sum_j sigmoid(z W_c + b_c) * g(z W_s + b_s), z = v_i + v_j + u_ij concatenated.

    The product with z is split by its three parts, so that the per-atom parts are computed per atom. Batch
    normalisation stands where the original code has it (on the product, and on the sum).
    """

    def __init__(self, settings: CgcnnSettings, n_radial: int) -> None:
        super().__init__()
        f = settings.atom_feature_dim
        self.centre = nn.Linear(f, 2 * f)
        self.neighbour = nn.Linear(f, 2 * f, bias=False)
        self.edge = nn.Linear(n_radial, 2 * f, bias=False)
        self.norm_message = nn.BatchNorm1d(2 * f)
        self.norm_update = nn.BatchNorm1d(f)
        self.activation = _activation(settings.activation)

    def forward(self, nodes: Tensor, radial: Tensor, batch: GraphBatch) -> Tensor:
        """nodes (N, F), radial (E, R) -> (N, F)."""
        z = self.edge(radial)
        z += self.centre(nodes).index_select(0, batch.centre)
        z += self.neighbour(nodes).index_select(0, batch.neighbour)
        gate, core = self.norm_message(z).chunk(2, dim=1)
        message = torch.sigmoid(gate) * self.activation(core) * batch.edge_weights[:, None]
        total = torch.zeros_like(nodes).index_add(0, batch.centre, message.to(nodes.dtype))
        updated: Tensor = self.activation(nodes + self.norm_update(total))
        return updated


class PlainConvolution(nn.Module):
    """Eq. 1: g((sum_j v_j + u_ij concatenated) W_c + v_i W_s + b)."""

    def __init__(self, settings: CgcnnSettings, n_radial: int) -> None:
        super().__init__()
        f = settings.atom_feature_dim
        self.centre = nn.Linear(f, f)
        self.neighbour = nn.Linear(f, f, bias=False)
        self.edge = nn.Linear(n_radial, f, bias=False)
        self.norm_update = nn.BatchNorm1d(f)
        self.activation = _activation(settings.activation)

    def forward(self, nodes: Tensor, radial: Tensor, batch: GraphBatch) -> Tensor:
        """nodes (N, F), radial (E, R) -> (N, F)."""
        message = self.neighbour(nodes).index_select(0, batch.neighbour) + self.edge(radial)
        message = message * batch.edge_weights[:, None]
        total = torch.zeros_like(nodes).index_add(0, batch.centre, message.to(nodes.dtype))
        updated: Tensor = self.activation(self.norm_update(self.centre(nodes) + total))
        return updated


class Cgcnn(nn.Module):
    """Embedding, convolutions, mean pooling (eq. 4), fully connected layers (eq. 5)."""

    element_table: Tensor

    def __init__(self, settings: CgcnnSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("element_table", element_features(), persistent=False)
        self.radial = RadialBasis(settings.cutoff, settings.radial_step)
        self.embedding = nn.Linear(N_ELEMENT_FEATURES, settings.atom_feature_dim)
        convolution = GatedConvolution if settings.convolution == "gated" else PlainConvolution
        self.convolutions = nn.ModuleList(
            convolution(settings, self.radial.n_functions) for _ in range(settings.n_conv)
        )
        self.activation = _activation(settings.activation)
        widths = [settings.atom_feature_dim] + [settings.hidden_dim] * settings.n_hidden
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(settings.hidden_dim, 1)

    def embedded(self, batch: GraphBatch) -> Tensor:
        """What the convolutions begin with, (N, F)."""
        return torch.as_tensor(self.embedding(self.element_table).index_select(0, batch.atomic_numbers))

    def convolved(self, nodes: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Features after the last convolution, (N, F); and the radial functions of the edges, (E, R)."""
        radial = self.radial(batch.distances)
        for convolution in self.convolutions:
            nodes = convolution(nodes, radial, batch)
        return nodes, radial

    def embed(self, batch: GraphBatch) -> Tensor:
        """Crystal features before the fully connected layers, (B, F)."""
        nodes, _ = self.convolved(self.embedded(batch), batch)
        pooled = torch.zeros(batch.n_crystals, nodes.shape[1], device=nodes.device, dtype=nodes.dtype)
        return pooled.index_add(0, batch.crystal_index, nodes * batch.node_weights[:, None].to(nodes.dtype))

    def answer(self, crystals: Tensor) -> Tensor:
        """What `embed` gives, (B, F) -> one number per crystal on the learned scale, (B,) float32."""
        features = self.activation(crystals)
        for layer in self.hidden:
            features = self.activation(layer(features))
        return torch.as_tensor(self.output(features).squeeze(1).float())

    def forward(self, batch: GraphBatch) -> Tensor:
        """One number per crystal on the learned scale, (B,) float32."""
        return self.answer(self.embed(batch))
