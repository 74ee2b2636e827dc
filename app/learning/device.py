"""Where numbers are crunched."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def torch_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises RuntimeError for `cuda` without one."""
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not has_cuda:
        raise RuntimeError("the device is set to cuda, but PyTorch finds no CUDA device here: set it to auto or cpu")
    return device


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Tiny numbers become 0 inside: computing with them is many times slower and changes nothing that is learned.

    The processor's flag belongs to the whole thread, so it must not stay set for other code.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
