"""Sums of decision trees as a module: all nodes of all trees in three arrays."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from app.learning.descriptors.catalogue import Descriptor

MAX_FOREST_NODES = 1_400_000
"""14 bytes each: 20 MB."""

_ROWS_TIMES_TREES = 1 << 18


class ForestSettings(BaseModel):
    """Constructor arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["forest"] = "forest"
    descriptor: Descriptor
    n_features: int = Field(ge=1, le=32_767)
    n_trees: int = Field(ge=1, le=MAX_FOREST_NODES)
    n_nodes: int = Field(ge=1, le=MAX_FOREST_NODES)
    depth: int = Field(ge=0, le=10_000, description="Steps from a root to its deepest leaf.")


class ForestModel(nn.Module):
    """intercept + scale * (sum over trees of the leaf's value).

    Dimensions: N nodes, T trees.
        feature     (N,) int16, which one is compared
        value       (N,) float32, the threshold (left when x <= value), of a leaf its output
        successors  (N, 2) int32, left and right; a leaf is its own
        roots       (T,) int32
    """

    feature: Tensor
    value: Tensor
    successors: Tensor
    roots: Tensor
    scale: Tensor
    intercept: Tensor

    def __init__(self, settings: ForestSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("feature", torch.zeros(settings.n_nodes, dtype=torch.int16))
        self.register_buffer("value", torch.zeros(settings.n_nodes))
        self.register_buffer("successors", torch.zeros(settings.n_nodes, 2, dtype=torch.int32))
        self.register_buffer("roots", torch.zeros(settings.n_trees, dtype=torch.int32))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros((), dtype=torch.float64))
        self.register_load_state_dict_post_hook(_refuse_loose_ends)  # type: ignore[no-untyped-call]

    def forward(self, features: Tensor) -> Tensor:
        """(B, n_features) float32 -> learned scale, (B,) float64."""
        rows = max(1, _ROWS_TIMES_TREES // self.settings.n_trees)
        return torch.cat([self._answer(part) for part in torch.split(features, rows)])

    def _answer(self, features: Tensor) -> Tensor:
        node = self.roots.long().expand(features.shape[0], -1)
        for _ in range(self.settings.depth):
            goes_right = features.gather(1, self.feature[node].long()) > self.value[node]
            node = self.successors[node, goes_right.long()].long()
        return self.value[node].double().sum(1) * self.scale + self.intercept


def _refuse_loose_ends(module: nn.Module, _keys: object) -> None:
    """Numbers that point outside the model would read foreign memory on a GPU, or end the process."""
    assert isinstance(module, ForestModel)
    bounds = (
        (module.successors, module.settings.n_nodes),
        (module.roots, module.settings.n_nodes),
        (module.feature, module.settings.n_features),
    )
    if any(bool(((numbers < 0) | (numbers >= bound)).any()) for numbers, bound in bounds):
        raise RuntimeError("a tree points to a node or a feature that the model does not have")
