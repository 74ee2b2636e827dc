"""Batches reach the loop in order, whichever way they are made."""

import numpy as np
import pytest
import torch

from app.learning.samples import VectorSamples
from app.learning.training.feeding import training_batches

NEEDS_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def test_each_part_comes_once_sorted_with_its_rows(device: str) -> None:
    samples = VectorSamples(np.arange(20, dtype=np.float32)[:, None])
    parts = np.array_split(np.random.default_rng(0).permutation(20), 3)
    seen = list(training_batches(samples, parts, torch.device(device)))
    for part, (indices, batch) in zip(parts, seen, strict=True):
        assert indices.tolist() == sorted(part.tolist())
        assert isinstance(batch, torch.Tensor)
        assert batch.cpu()[:, 0].tolist() == indices.tolist()


def test_no_parts_no_batches() -> None:
    samples = VectorSamples(np.zeros((1, 1), dtype=np.float32))
    assert list(training_batches(samples, [], torch.device("cpu"))) == []
