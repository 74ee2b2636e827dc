"""Memory that is free is given back, also where blocks in use lie behind it."""

import ctypes
import sys

import psutil
import pytest

from app.core.processes import give_back_memory


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library than glibc")
def test_free_memory_between_blocks_is_given_back() -> None:
    blocks = [bytearray(100_000) for _ in range(500)]  # too small for pages of their own
    kept = blocks[::50]
    del blocks
    before = psutil.Process().memory_info().rss
    give_back_memory()
    given_back = before - psutil.Process().memory_info().rss
    assert given_back > 20_000_000, (given_back, sys.getsizeof(kept[0]))
