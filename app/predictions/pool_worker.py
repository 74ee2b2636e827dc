"""The other end of the featurising pool: a process that reads structures, without torch, and dies rather than hangs.

Started as `python -m app.predictions.pool_worker FD PARENT`, with one end of a socket pair. A request is a list of
tasks and the seconds each may take; every task is answered as soon as it is done.
"""

import contextlib
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

from app.core.processes import die_with_parent, give_back_memory
from app.predictions.answer_format import pack_answer
from app.predictions.messages import receive, send
from app.predictions.request_format import unpack_request
from app.predictions.tasks import Structures, Task, featurise, guarded

TIDY_EVERY = 1_000
"""Tasks after which memory is given back, which takes less than a millisecond."""

MAX_ADDRESS_SPACE = 4 << 30
"""Bytes. A structure that needs more is refused before the machine suffers."""


def main(read: Callable[[Task], Structures] = featurise) -> None:
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent)
    _leave_stopping_to_parent()
    n_read = 0
    with socket.socket(fileno=descriptor) as connection:
        while True:
            try:
                limit_s, tasks = unpack_request(receive(connection, sys.maxsize))
            except EOFError:
                return
            for task in tasks:
                # The kernel ends this process when the time is up, whatever code runs and even if nobody waits for it.
                signal.setitimer(signal.ITIMER_REAL, limit_s)
                answer = pack_answer(guarded(partial(read, task)))
                signal.setitimer(signal.ITIMER_REAL, 0)
                send(connection, answer)
                n_read += 1
                if n_read % TIDY_EVERY == 0:
                    give_back_memory()


def _leave_stopping_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # a stricter limit is in force already
        resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))


if __name__ == "__main__":
    main()
