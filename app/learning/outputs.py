"""What a network answers for many samples, in batches that fit the caches of a CPU."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.learning.samples import Samples

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

EVALUATION_COST = {"cpu": 20_000, "cuda": 500_000}
"""Edges of one evaluation batch: on a CPU larger ones leave the cache, cost time and hundreds of megabytes."""
_MOST_AT_ONCE = 4096
"""Samples of one evaluation batch."""


def evaluation_batches(samples: Samples, budget: int) -> Iterator[IntArray]:
    """Indices in order, as many at a time as the cost budget allows (at least one)."""
    costs = np.minimum(samples.costs, budget)
    if 0 < len(costs) <= _MOST_AT_ONCE and costs.sum() <= budget:
        yield np.arange(len(costs))
        return
    start, used = 0, 0
    for index, cost in enumerate(costs):
        if used + cost > budget or index - start >= _MOST_AT_ONCE:
            yield np.arange(start, index)
            start, used = index, 0
        used += int(cost)
    if start < len(samples):
        yield np.arange(start, len(samples))


@torch.inference_mode()
def predict_outputs(network: nn.Module, samples: Samples, device: torch.device) -> FloatArray:
    """Network outputs on the learned scale, (B,), in evaluation mode."""
    network.eval()
    batches = evaluation_batches(samples, EVALUATION_COST[device.type])
    outputs = [network(samples.batch(indices, device)).double().cpu().numpy() for indices in batches]
    return np.concatenate(outputs) if outputs else np.zeros(0)
