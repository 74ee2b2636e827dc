"""A linear model of standardised features, as a module."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.learning.descriptors.catalogue import Descriptor


class LinearSettings(BaseModel):
    """Constructor arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear"] = "linear"
    descriptor: Descriptor
    n_features: int = Field(ge=1, le=100_000)
    clip: float | None = Field(default=None, gt=0, description="Standardised features are no further from 0.")


class LinearModel(nn.Module):
    """intercept + clip((x - mean) / scale) . coefficients, in float64."""

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    intercept: Tensor

    def __init__(self, settings: LinearSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(settings.n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(settings.n_features, dtype=torch.float64))
        self.register_buffer("coefficients", torch.zeros(settings.n_features, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros((), dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_features) -> learned scale, (B,) float64."""
        scaled = (features.double() - self.mean) / self.scale
        if self.settings.clip is not None:
            scaled = scaled.clamp(-self.settings.clip, self.settings.clip)
        return scaled @ self.coefficients + self.intercept
