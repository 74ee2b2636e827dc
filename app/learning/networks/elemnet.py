"""ElemNet with 17 layers: formation enthalpy from elemental fractions alone (Jha 2018; Gupta 2024)."""

from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.core.errors import UnsupportedElement
from app.structures.elements import SYMBOLS

_NO_CHEMISTRY = {"He", "Ne", "Ar", "Po", "At", "Rn", "Fr", "Ra"}

ELEMNET_ELEMENTS: tuple[str, ...] = tuple(s for s in SYMBOLS[1:95] if s not in _NO_CHEMISTRY)
"""The 86 elements of ElemNet's input, H to Pu without He, Ne, Ar, Po, At, Rn, Fr, Ra."""

_COLUMNS = np.array([SYMBOLS.index(symbol) for symbol in ELEMNET_ELEMENTS])


class ElemNetSettings(BaseModel):
    """Constructor arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: Literal["elemental_fractions", "physical_attributes"] = Field(
        default="elemental_fractions", description="What it reads; attributes, unlike fractions, are standardised."
    )
    n_features: int = Field(default=len(ELEMNET_ELEMENTS), ge=1)
    widths: tuple[int, ...] = (1024,) * 4 + (512,) * 3 + (256,) * 3 + (128,) * 3 + (64,) * 2 + (32,)
    dropout: float = Field(default=0.0, ge=0, lt=1, description="After each block of equal widths.")


class ElemNet17(nn.Module):
    """1024x4-512x3-256x3-128x3-64x2-32-1, ReLU after every layer but the last.

    On physical attributes x it reads (x - mean) / scale; both are part of the weights, see `standardise`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, settings: ElemNetSettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = (settings.n_features, *settings.widths)
        if settings.features == "physical_attributes":
            self.register_buffer("mean", torch.zeros(settings.n_features))
            self.register_buffer("scale", torch.ones(settings.n_features))
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.output = nn.Linear(sizes[-1], 1)
        self.dropout = nn.Dropout(settings.dropout)
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            # Without it the signal of sixteen ReLU layers fades to nothing at the start.
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def standardise(self, rows: npt.NDArray[np.float32]) -> None:
        """Take mean and scale from training rows (n, n_features); a column that does not vary is only centred."""
        deviation = rows.std(axis=0, dtype=np.float64)
        self.mean.copy_(torch.from_numpy(rows.mean(axis=0, dtype=np.float64)))
        self.scale.copy_(torch.from_numpy(np.where(deviation > 0, deviation, 1.0)))

    @property
    def has_fixed_representation(self) -> bool:
        """Whether no hidden layer changes in training, so that a row's features are the same at every step."""
        return self.settings.dropout == 0 and not any(p.requires_grad for p in self.hidden.parameters())

    @property
    def representation_dim(self) -> int:
        return self.settings.widths[-1]

    def block_ends(self, features: Tensor) -> list[Tensor]:
        """(B, n_features) -> activations after each block of layers of equal widths, (B, width of the block)."""
        if self.settings.features == "physical_attributes":
            features = (features - self.mean) / self.scale
        ends = []
        for index, layer in enumerate(self.hidden):
            features = torch.relu(layer(features))
            if index + 1 == len(self.hidden) or self.settings.widths[index] != self.settings.widths[index + 1]:
                if self.settings.dropout > 0:
                    features = self.dropout(features)
                ends.append(features)
        return ends

    def represent(self, features: Tensor) -> Tensor:
        """(B, n_features) -> activations of the last hidden layer, (B, widths[-1])."""
        return self.block_ends(features)[-1]

    def after_representation(self) -> nn.Module:
        """What follows: (B, widths[-1]) -> (B,); its weights are this network's own."""
        return nn.Sequential(self.output, _Answer())

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_features) -> one number per composition on the learned scale, (B,) float32."""
        answer: Tensor = _ANSWER(self.output(self.represent(features)))
        return answer


class _Answer(nn.Module):
    """(B, 1) -> (B,) float32."""

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(1).float()


_ANSWER = _Answer()


def elemental_fractions(fractions: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The network's columns (86,) of a vector of atomic fractions indexed by atomic number, at least (101,).

    Raises UnsupportedElement naming an element that has no column.
    """
    missing = [SYMBOLS[z] for z in np.flatnonzero(fractions) if SYMBOLS[z] not in ELEMNET_ELEMENTS]
    if missing:
        raise UnsupportedElement(f"This model knows no {', '.join(missing)}: it takes the 86 elements of ElemNet.")
    return np.asarray(fractions[_COLUMNS], dtype=np.float32)
