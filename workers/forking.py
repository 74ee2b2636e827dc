"""Forks that wait until no thread is inside a database transaction."""

import os
import threading


def lock_that_delays_forks() -> threading.Lock:
    """While a thread holds this lock, `os.fork` in any other waits.

    SQLite keeps its table of locks in the memory of the process. A child forked in the middle of a transaction inherits
    the table as it was, and finds the database locked for ever. To be called once in a process: it cannot be undone.
    """
    lock = threading.Lock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
