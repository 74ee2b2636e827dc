"""Memory that was freed, given back to the system."""

import ctypes


def give_back_freed_memory() -> None:
    """After large things have come and gone; glibc keeps what they took. Does nothing where there is no glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
