"""Batches for the training loop, made ready while the device computes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from app.learning.samples import IntArray, NetworkBatch, Samples


def training_batches(
    samples: Samples, parts: Sequence[IntArray], device: torch.device
) -> Iterator[tuple[IntArray, NetworkBatch]]:
    """The samples of each part in ascending order, with their indices.

    For a GPU the next batch is put together and copied while this one is computed. A CPU has no time to spare: there
    it is made when it is asked for.
    """
    ordered = [part[part.argsort()] for part in parts]
    if device.type != "cuda":
        for indices in ordered:
            yield indices, samples.batch(indices, device)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as executor:
        coming = executor.submit(samples.batch, ordered[0], device) if ordered else None
        for number, indices in enumerate(ordered):
            assert coming is not None
            batch = coming.result()
            if number + 1 < len(ordered):
                coming = executor.submit(samples.batch, ordered[number + 1], device)
            yield indices, batch
