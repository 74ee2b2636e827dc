"""A new network on the features that a trained one has learned (representation learning; Gupta et al. 2024, II-C)."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.learning.networks.elemnet import ELEMNET_ELEMENTS, ElemNet17, ElemNetSettings

_RIDGE = 1e-6
"""Of the mean variance of the features."""


class RepresentationSettings(BaseModel):
    """Constructor arguments. The head is an ElemNet of `widths` whose input is the last of `source_widths`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_features: int = Field(default=len(ELEMNET_ELEMENTS), ge=1)
    source_widths: tuple[int, ...] = Field(min_length=1, description="Layers of the source that make the features.")
    features: Literal["relu", "dense"] = Field(
        description="The last of these layers after its ReLU, or before: what a dense layer puts out."
    )
    widths: tuple[int, ...] = ElemNetSettings().widths
    dropout: float = Field(default=0.0, ge=0, lt=1)


class RepresentationElemNet(nn.Module):
    """head(features of the source's layer k), the source's weights fixed."""

    def __init__(self, settings: RepresentationSettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = (settings.n_features, *settings.source_widths)
        self.source = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.source.requires_grad_(requires_grad=False)
        self.head = ElemNet17(ElemNetSettings(n_features=sizes[-1], widths=settings.widths, dropout=settings.dropout))

    @classmethod
    def on(cls, source: ElemNet17, layer: int, features: Literal["relu", "dense"]) -> "RepresentationElemNet":
        """A network of the source's shape, with random weights, on what its hidden layer `layer` (from 1) gives.

        Raises ValueError for a layer the source does not have.
        """
        if not 1 <= layer <= len(source.hidden):
            raise ValueError(f"the network has hidden layers 1 to {len(source.hidden)}, not {layer}")
        shape = source.settings
        network = cls(
            RepresentationSettings(
                n_features=shape.n_features,
                source_widths=shape.widths[:layer],
                features=features,
                widths=shape.widths,
                dropout=shape.dropout,
            )
        )
        for own, other in zip(network.source, source.hidden, strict=False):
            own.load_state_dict(other.state_dict())
        return network

    @torch.no_grad()
    def recall_first_layer(self, fractions: Tensor) -> None:
        """Start the head's first layer as the linear map of the features that best gives what the source's first gave.

        By ridge regression over training rows (n, n_features), n > 1. A head whose other layers are the source's then
        starts close to the source's own answers; a random first layer would feed those layers with noise.
        """
        features = self.represent(fractions).double()
        wanted = self.source[0](fractions).double()
        centre, offset = features.mean(dim=0), wanted.mean(dim=0)
        features -= centre
        gram = features.T @ features
        gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, features.T @ (wanted - offset)).T
        first = self.head.hidden[0]
        assert isinstance(first, nn.Linear)
        first.weight.copy_(weights)
        first.bias.copy_(offset - weights @ centre)

    @property
    def has_fixed_representation(self) -> bool:
        return True

    @property
    def representation_dim(self) -> int:
        return self.settings.source_widths[-1]

    def represent(self, fractions: Tensor) -> Tensor:
        """(B, n_features) -> features of the source, (B, source_widths[-1])."""
        values = fractions
        for layer in self.source[:-1]:
            values = torch.relu(layer(values))
        values = self.source[-1](values)
        return torch.relu(values) if self.settings.features == "relu" else values

    def after_representation(self) -> nn.Module:
        """The head: (B, source_widths[-1]) -> (B,)."""
        return self.head

    def forward(self, fractions: Tensor) -> Tensor:
        """(B, n_features) -> one number per composition on the learned scale, (B,) float32."""
        output: Tensor = self.head(self.represent(fractions))
        return output
