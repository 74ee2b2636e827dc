"""Where numbers are crunched."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST_INT = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20


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


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for processes that train on the CPU.

    The C library gives large blocks back at once, and the kernel clears them anew at each operation of each step: up
    to a seventh of the time of a step. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_INT)
    library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
    library.mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)


def give_back_freed_memory() -> None:
    """After large blocks were freed that will not be needed again soon; nothing where the C library is not glibc."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
