"""Kernel machines as modules: support vectors and their weights in buffers."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.learning.descriptors.catalogue import Descriptor
from app.learning.descriptors.soap import NO_PAIR, SoapSettings

MAX_SUPPORT = 10_000
"""Rows that a kernel machine may keep: size and time grow with them, of the fit with their cube."""

_KERNEL_ENTRIES = 4_000_000
"""Of the kernel between asked and kept rows, at once."""
_MATCHES = 50_000
"""Pairs of SOAP blocks, at once."""


class RbfKernelSettings(BaseModel):
    """Constructor arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["rbf_kernel"] = "rbf_kernel"
    descriptor: Descriptor
    n_features: int = Field(ge=1, le=100_000)
    n_support: int = Field(ge=0, le=MAX_SUPPORT)
    gamma: float = Field(gt=0, description="Of squared distances between standardised features.")
    clip: float | None = Field(default=None, gt=0, description="Standardised features are no further from 0.")


class RbfKernelModel(nn.Module):
    """intercept + sum_i weights_i exp(-gamma |z - support_i|²), z = clip((x - mean) / scale), in float64."""

    mean: Tensor
    scale: Tensor
    support: Tensor
    weights: Tensor
    intercept: Tensor

    def __init__(self, settings: RbfKernelSettings) -> None:
        super().__init__()
        self.settings = settings
        n_features, n_support = settings.n_features, settings.n_support
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n_features, dtype=torch.float64))
        self.register_buffer("support", torch.zeros(n_support, n_features, dtype=torch.float64))
        self.register_buffer("weights", torch.zeros(n_support, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros((), dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_features) -> learned scale, (B,) float64."""
        rows = max(1, _KERNEL_ENTRIES // max(1, self.settings.n_support))
        return torch.cat([self._answer(part) for part in torch.split(features, rows)])

    def _answer(self, features: Tensor) -> Tensor:
        scaled = (features.double() - self.mean) / self.scale
        if self.settings.clip is not None:
            scaled = scaled.clamp(-self.settings.clip, self.settings.clip)
        # By differences, not by |a|² + |b|² - 2ab, which loses digits where a and b are close.
        distances = torch.cdist(scaled, self.support, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-self.settings.gamma * distances**2) @ self.weights + self.intercept


class SoapKernelSettings(BaseModel):
    """Constructor arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["soap_kernel"] = "soap_kernel"
    descriptor: Literal[Descriptor.SOAP] = Descriptor.SOAP
    soap: SoapSettings
    n_support: int = Field(ge=1, le=MAX_SUPPORT)
    n_blocks: int = Field(ge=1, description="Element pairs of all support crystals together.")
    power: int = Field(ge=1, le=16, description="Exponent of the kernel.")


class SoapKernelModel(nn.Module):
    """intercept + sum_i weights_i (p . p_i)^power over average SOAP vectors p of length 1, in float64.

    Of each support crystal only its own element pairs are kept: `pairs` (M,) sorted pair numbers, `owners` (M,) which
    crystal each belongs to, `blocks` (M, block_size).
    """

    pairs: Tensor
    owners: Tensor
    blocks: Tensor
    weights: Tensor
    intercept: Tensor

    def __init__(self, settings: SoapKernelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("pairs", torch.zeros(settings.n_blocks, dtype=torch.int64))
        self.register_buffer("owners", torch.zeros(settings.n_blocks, dtype=torch.int64))
        self.register_buffer("blocks", torch.zeros(settings.n_blocks, settings.soap.block_size))
        self.register_buffer("weights", torch.zeros(settings.n_support, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros((), dtype=torch.float64))
        self.register_load_state_dict_post_hook(_refuse_foreign_owners)  # type: ignore[no-untyped-call]

    def keep(self, rows: Tensor) -> None:
        """Make crystals given as rows (n_support, P, 1 + block_size) the support."""
        owners, places = torch.nonzero(rows[:, :, 0] != NO_PAIR, as_tuple=True)
        numbers = rows[owners, places, 0].long()
        order = torch.argsort(numbers, stable=True)
        self.pairs.copy_(numbers[order])
        self.owners.copy_(owners[order])
        self.blocks.copy_(rows[owners, places, 1:][order])

    def similarity(self, rows: Tensor) -> Tensor:
        """p . p_i of crystals given as rows (B, P, 1 + block_size) with the support, (B, n_support) float64."""
        owners, places = torch.nonzero(rows[:, :, 0] != NO_PAIR, as_tuple=True)
        numbers = rows[owners, places, 0].long()
        first = torch.searchsorted(self.pairs, numbers)
        n_matches = torch.searchsorted(self.pairs, numbers, right=True) - first
        result = rows.new_zeros(rows.shape[0] * self.settings.n_support, dtype=torch.float64)
        for part in _chunks(n_matches, _MATCHES):
            repeats = n_matches[part]
            asked = torch.repeat_interleave(torch.arange(part.start, part.stop, device=rows.device), repeats)
            within = torch.arange(asked.shape[0], device=rows.device) - torch.repeat_interleave(
                repeats.cumsum(0) - repeats, repeats
            )
            kept = first[asked] + within
            dots = (rows[owners[asked], places[asked], 1:].double() * self.blocks[kept].double()).sum(1)
            result.index_add_(0, owners[asked] * self.settings.n_support + self.owners[kept], dots)
        return result.reshape(rows.shape[0], self.settings.n_support)

    def forward(self, rows: Tensor) -> Tensor:
        """(B, P, 1 + block_size), see `pad_rows` -> learned scale, (B,) float64."""
        n_at_once = max(1, _KERNEL_ENTRIES // self.settings.n_support)
        return torch.cat([self._answer(part) for part in torch.split(rows, n_at_once)])

    def _answer(self, rows: Tensor) -> Tensor:
        return self.similarity(rows) ** self.settings.power @ self.weights + self.intercept


def _chunks(sizes: Tensor, budget: int) -> list[slice]:
    """Consecutive entries whose sizes together stay within the budget (at least one each)."""
    slices, start, used = [], 0, 0
    for index, size in enumerate(sizes.tolist()):
        if index > start and used + size > budget:
            slices.append(slice(start, index))
            start, used = index, 0
        used += size
    if start < sizes.shape[0]:
        slices.append(slice(start, sizes.shape[0]))
    return slices


def _refuse_foreign_owners(module: nn.Module, _keys: object) -> None:
    """Numbers that point outside the model would read foreign memory on a GPU, or end the process."""
    assert isinstance(module, SoapKernelModel)
    owners = module.owners
    if bool(((owners < 0) | (owners >= module.settings.n_support)).any()):
        raise RuntimeError("a block belongs to a crystal that the model does not have")
