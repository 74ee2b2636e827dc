"""What a step that ran out of memory leaves behind, undone."""

import torch
from torch import Tensor, nn

MIN_PART = 2
"""Fewest rows of a part: one row has no batch statistics."""


class RunningStatistics:
    """What layers keep of the batches they have seen: a forward pass changes it, and no weights."""

    def __init__(self, network: nn.Module) -> None:
        self._tensors: list[Tensor] = [
            buffer
            for module in network.modules()
            if getattr(module, "track_running_stats", False)
            for buffer in module.buffers(recurse=False)
        ]
        self._kept = [torch.empty_like(tensor) for tensor in self._tensors]

    def keep(self) -> None:
        if self._tensors:
            torch._foreach_copy_(self._kept, self._tensors)

    def restore(self) -> None:
        """As they were at the last `keep`."""
        with torch.no_grad():
            for tensor, kept in zip(self._tensors, self._kept, strict=True):
                tensor.copy_(kept)


def can_be_halved(n_rows: int, split: int) -> bool:
    """Whether a batch that is computed in `split` parts may be computed in twice as many."""
    # Batches of an epoch differ by one row.
    return (n_rows - 1) // (2 * split) >= MIN_PART
