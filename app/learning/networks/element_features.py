"""The element features of `element_bits` as a tensor."""

import torch
from torch import Tensor

from app.learning.networks.element_bits import N_ELEMENT_FEATURES, element_bits

__all__ = ["N_ELEMENT_FEATURES", "element_features"]


def element_features() -> Tensor:
    """(101, 92) float32; row = atomic number, row 0 is zero."""
    return torch.from_numpy(element_bits())
