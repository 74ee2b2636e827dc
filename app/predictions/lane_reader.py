"""A process that reads light texts for the lane, which never waits for it."""

import socket
import struct
import time
from collections import deque
from collections.abc import Sequence

from app.predictions.answer_format import MAX_ANSWER_BYTES, MalformedAnswer, unpack_answer
from app.predictions.featuriser import Part
from app.predictions.messages import MessageTooLong, is_quiet, send
from app.predictions.pool import ANSWER_GRACE_S, ReaderProcess
from app.predictions.request_format import pack_request
from app.predictions.tasks import failed

_LENGTH = struct.Struct("<Q")
_RECEIVED_BYTES = 1 << 18


class LaneReader:
    """All calls are for one thread. What becomes of its process, every part that it was given is answered."""

    def __init__(self, process: ReaderProcess, limit_s: float) -> None:
        """A text may take `limit_s`."""
        self._process = process
        self._limit_s = limit_s
        self._parts: deque[Part] = deque()
        self._buffer = bytearray()
        self._attempts = 0
        self._deadline = 0.0

    @property
    def is_idle(self) -> bool:
        return not self._parts

    @property
    def connection(self) -> socket.socket | None:
        """Where answers come from; None: nothing is expected."""
        return self._process.connection if self._parts else None

    @property
    def seconds_left(self) -> float:
        """Until the next answer is overdue."""
        return max(self._deadline - time.monotonic(), 0.0)

    def give(self, parts: Sequence[Part]) -> None:
        """Have them read; the reader is idle."""
        self._parts.extend(parts)
        self._attempts = 0
        self._begin()

    def take(self) -> None:
        """Put what has come where it belongs; also when nothing came in time."""
        try:
            self._receive()
            if self._parts and self.seconds_left == 0.0:
                raise TimeoutError
        except (EOFError, OSError, MessageTooLong, MalformedAnswer) as error:
            self._failed(error)

    def close(self) -> None:
        self._process.end()

    def _begin(self) -> None:
        self._buffer.clear()
        try:
            connection = self._process.started(len(self._parts))
            if not is_quiet(connection):
                raise MalformedAnswer("an answer that nobody asked for")
            send(connection, pack_request(self._limit_s, [part.task for part in self._parts]))
            connection.setblocking(False)
        except (OSError, MalformedAnswer) as error:
            self._failed(error)
        else:
            self._expect()

    def _expect(self) -> None:
        # The process ends itself when a text takes too long; this is for one that cannot or will not.
        self._deadline = time.monotonic() + self._limit_s + ANSWER_GRACE_S

    def _receive(self) -> None:
        connection = self._process.connection
        assert connection is not None
        try:
            data = connection.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise EOFError
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if length > MAX_ANSWER_BYTES or not self._parts:
                raise MessageTooLong(f"{length:,} bytes")
            if len(self._buffer) < end:
                return
            message = self._buffer[_LENGTH.size : end]
            del self._buffer[:end]
            structures = unpack_answer(message, self._parts[0].task)
            self._parts.popleft().put(structures)
            self._attempts = 0
            self._expect()

    def _failed(self, error: Exception) -> None:
        self._attempts += 1
        failure = self._process.failure(error, self._process.end(), self._attempts)
        if failure is not None and self._parts:
            self._parts.popleft().put(failed(failure))
            self._attempts = 0
        if self._parts:
            self._begin()
