"""Child processes: they end with their parent, whatever ended that, and keep no memory that they do not use."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1
_PARENT_WATCH_S = 1.0


def die_with_parent(parent_pid: int) -> None:
    """To be called by a child when it starts: from then on no death of the parent leaves it behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch_parent, args=(parent_pid,), name="parent-watch", daemon=True).start()
    if os.getppid() != parent_pid:  # it died before anything above took effect
        os._exit(1)


def give_back_memory() -> None:
    """Hand the free pages between blocks in use back to the system, which glibc does by itself for the last ones only.

    Otherwise a process that reads texts of all sizes grows by some MB with every 100,000 of them, in use or not.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _watch_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_WATCH_S)
    os._exit(1)
