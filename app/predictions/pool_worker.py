"""The other end of the featurising pool: a process that reads structures, without torch, and dies rather than hangs.

Started as `python -m app.predictions.pool_worker FD PARENT`, with one end of a socket pair. A request is a pickled list
of tasks and the seconds each may take; every task is answered as soon as it is done.
"""

import contextlib
import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from functools import partial

from app.learning.featurising import FeaturisedStructure
from app.predictions.tasks import Task, featurise, guarded

MAX_ADDRESS_SPACE = 4 << 30
"""Bytes. A structure that needs more is refused before the machine suffers."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _bind_to(parent)
    connection = socket.socket(fileno=descriptor)
    with connection, connection.makefile("rb") as incoming:
        while True:
            try:
                limit_s, tasks = pickle.load(incoming)  # noqa: S301 - from the process that started this one
            except EOFError:
                return
            for answer in _answers(tasks, limit_s):
                connection.sendall(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))


def _answers(tasks: Sequence[Task], limit_s: float) -> Iterator[list[FeaturisedStructure]]:
    for task in tasks:
        # The kernel ends this process when the time is up, whatever code is running and even if nobody waits for it.
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        answer = guarded(partial(featurise, task))
        signal.setitimer(signal.ITIMER_REAL, 0)
        yield answer


def _bind_to(parent: int) -> None:
    """Leave stopping to the parent, which ends this process, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a stricter limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit()


if __name__ == "__main__":
    main()
