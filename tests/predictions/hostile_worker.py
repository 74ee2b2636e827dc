"""A process of the pool that does, when a text says so, what a fault of a parser might do, or what whoever took it over
through such a fault might want. Texts: `!WHAT`, or `!lie HOW`; others are read as ever."""

import os
import pickle
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

from app.core.errors import UnparsableStructure
from app.predictions import pool_worker
from app.predictions.answer_format import pack_answer
from app.predictions.tasks import Structures, Task, failed, featurise

MODULE = "tests.predictions.hostile_worker"
PICKLE_MARK = "/tmp/xtalforge-test-a-pickle-was-run"


def read(task: Task) -> Structures:
    what, _, argument = task.text.partition(" ")
    if what == "!lie":
        _lie(argument)
    return _DEEDS[what]() if what in _DEEDS else featurise(task)


def _crash() -> Structures:
    os._exit(7)


def _hang() -> Structures:
    """Inside C code that lets no other thread run."""
    re.fullmatch("(a|a)*b", "a" * 60)
    return []


def _sleep() -> Structures:
    time.sleep(2)
    return failed(UnparsableStructure("slept"))


def _fault() -> Structures:
    raise ZeroDivisionError


def _greedy() -> Structures:
    return failed(UnparsableStructure("x" * (1 << 33)))


def _report() -> Structures:
    heavy = [name for name in ("torch", "fastapi", "sqlalchemy", "celery") if name in sys.modules]
    return failed(UnparsableStructure(f"{os.getpid()} {','.join(heavy)}"))


def _environment() -> Structures:
    return failed(UnparsableStructure(" ".join(os.environ)))


def _framed(message: bytes) -> bytes:
    return struct.pack("<Q", len(message)) + message


def _drip() -> Iterator[bytes]:
    yield struct.pack("<Q", 1_000)
    while True:
        time.sleep(0.05)
        yield b" "


def _endless() -> Iterator[bytes]:
    while True:
        yield bytes(1 << 16)


class _Payload:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (PICKLE_MARK, "w")


def _unasked() -> bytes:
    answer = _framed(pack_answer(failed(UnparsableStructure("a lie"))))
    return answer * 3


_LIES: dict[str, Callable[[], bytes | Iterator[bytes]]] = {
    "random": lambda: _framed(os.urandom(2_000)),
    "empty": lambda: _framed(b""),
    "huge": lambda: struct.pack("<Q", 1 << 62) + bytes(1_000),
    "negative": lambda: struct.pack("<q", -1) + bytes(1_000),
    "pickle": lambda: _framed(pickle.dumps(_Payload())),
    "bare pickle": lambda: pickle.dumps(_Payload()),
    "unasked": _unasked,
    "truncated": lambda: struct.pack("<Q", 1_000) + bytes(500),
    "silent": lambda: struct.pack("<Q", 200_000_000) + bytes(500),
    "drip": _drip,
    "endless": _endless,
}
LIES = sorted(_LIES)


def _lie(how: str) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    connection = socket.socket(fileno=os.dup(int(sys.argv[1])))
    content = _LIES[how]()
    for part in (content,) if isinstance(content, bytes) else content:
        connection.sendall(part)
    if how == "truncated":
        os._exit(0)
    time.sleep(600)


_DEEDS: dict[str, Callable[[], Structures]] = {
    "!crash": _crash,
    "!hang": _hang,
    "!sleep": _sleep,
    "!fault": _fault,
    "!greedy": _greedy,
    "!report": _report,
    "!environment": _environment,
}

if __name__ == "__main__":
    pool_worker.main(read)
