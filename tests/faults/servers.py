"""A broker and databases that can be killed, paused and brought back at the same address."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from app.cli.broker import broker_service, broker_url, free_port, new_password
from tests.postgres import PostgresServer, create_database

READY_TIMEOUT_S = 30.0


class Broker:
    """Valkey with the settings of `xtalforge up`: what is queued is on disk."""

    def __init__(self, folder: Path) -> None:
        self._port, self._password = free_port(), new_password()
        self._service = broker_service(folder, self._port, self._password)
        self.url = broker_url(self._port, self._password)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Also from a pause; nothing happens when it runs."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            return
        self._process = subprocess.Popen(
            self._service.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._service.stdin)
        self._process.stdin.close()
        _wait(self._is_ready, "the broker")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            client.flushall()

    def _is_ready(self) -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(self.url, socket_timeout=1) as client:
            return bool(client.ping())
        return False


class Database(ABC):
    """The database of a stack; `kind` names it in reports."""

    kind: str
    url: str

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...


class SqliteDatabase(Database):
    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "xtalforge.db"
        self.url = f"sqlite:///{self._path}"

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def lock(self, seconds: float) -> "subprocess.Popen[bytes]":
        """Another process holds the write lock for that long."""
        code = (
            "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30); "
            "c.execute('BEGIN IMMEDIATE'); print(flush=True); time.sleep(float(sys.argv[2]))"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(self._path), str(seconds)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def is_whole(self) -> bool:
        with sqlite3.connect(self._path, timeout=30) as connection:
            return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


class PostgresDatabase(Database):
    kind = "postgres"

    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer(folder / "postgres")
        self._server.create()
        create_database(self._server.url, "xtalforge")
        self.url = self._server.url.replace("postgresql://", "postgresql+psycopg://", 1) + "/xtalforge"

    def start(self) -> None:
        if not self._server.is_running():
            self._server.start()

    def stop(self) -> None:
        self._server.stop(signal.SIGINT)

    def crash(self) -> None:
        """As a power cut: no checkpoint, the log is replayed at the next start."""
        self._server.stop(signal.SIGQUIT)


def open_database(kind: str, folder: Path) -> Database:
    """A new, running database. Raises PostgresUnavailable."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return SqliteDatabase(folder) if kind == SqliteDatabase.kind else PostgresDatabase(folder)


def _wait(probe: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start within {READY_TIMEOUT_S:g} s")
        time.sleep(0.05)
