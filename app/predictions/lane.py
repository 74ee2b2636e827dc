"""Small requests are computed by one thread, together with all that wait at the same time."""

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from app.core.errors import XtalforgeError
from app.core.logging import get_logger
from app.predictions.answers import as_json
from app.predictions.compute_messages import (
    DONE,
    FAULT,
    NOT_LIGHT,
    REFUSED,
    Frames,
    pack_error,
    pack_frame,
    pack_json,
)
from app.predictions.schemas import PredictionAnswer
from app.predictions.service import Asked, Begun, NotLight, PredictionService

ENOUGH = 8
"""Requests that are computed at once; a micro-batch of more saves little."""
_RECEIVED_BYTES = 1 << 18

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    number: int
    begun: Begun


class PredictionLane:
    """Answers what comes over a socket, in the thread that calls `serve`. An idle one begins at once.

    Where `share` allows it, what waits is read by the pool as well: this thread computes the requests that are read,
    and while there are too few of them it reads too. One thread, because several that take turns within one interpreter
    cost each other more time than they gain.
    """

    def __init__(
        self,
        service: PredictionService,
        connection: socket.socket,
        asked_of: Callable[[bytes], Asked],
        report: Callable[[], bytes | None],
        *,
        share: bool,
    ) -> None:
        """`asked_of` opens a request's body; `report` is sent with answers where there is any (a frame's body)."""
        self._service = service
        self._connection = connection
        self._asked_of = asked_of
        self._report = report
        self._share = share
        self._frames = Frames()
        self._open: list[_Open] = []
        self._is_closed = False
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)

    def serve(self) -> None:
        """Until the other end closes."""
        may_wait = True
        with self._connection, self._woken, self._wake:
            while not self._is_closed:
                arrived = list(self._arrived(may_wait=may_wait))
                in_pool = self._share and len(arrived) + len(self._open) > 1
                for number, body in arrived:
                    self._begin(number, body, in_pool=in_pool)
                may_wait = not self._advance()

    def _arrived(self, *, may_wait: bool) -> Iterator[tuple[int, bytes]]:
        """Numbers and bodies of the requests that have come since."""
        ready, _, _ = select.select((self._connection, self._woken), (), (), None if may_wait else 0)
        if self._woken in ready:
            self._woken.recv(_RECEIVED_BYTES)
        if self._connection in ready:
            data = self._received()
            self._is_closed = not data
            for number, _, body in self._frames.feed(data):
                yield number, body

    def _received(self) -> bytes:
        try:
            return self._connection.recv(_RECEIVED_BYTES)
        except ConnectionError:
            return b""

    def _on_done(self) -> None:
        """In any thread: a structure was read by the pool."""
        with suppress(OSError):  # it is awake, or has ended
            self._wake.send(b"\0")

    def _begin(self, number: int, body: bytes, *, in_pool: bool) -> None:
        try:
            begun = self._service.begin(self._asked_of(body), in_pool=in_pool, on_done=self._on_done)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            self._send([_answer(number, error)])
        else:
            self._open.append(_Open(number, begun))

    def _advance(self) -> bool:
        """Answer the requests that are read, or read one structure; False when there is nothing to do but to wait."""
        read: list[_Open] = []
        unread: list[_Open] = []
        for entry in self._open:
            (read if len(read) < ENOUGH and entry.begun.reading.is_done else unread).append(entry)
        if len(read) < ENOUGH and any(entry.begun.reading.help() for entry in unread):
            return True
        if not read:
            return False
        self._open = unread
        answers: Sequence[PredictionAnswer | Exception]
        try:
            answers = self._service.finish([entry.begun for entry in read])
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answers = [error] * len(read)
        self._send([_answer(entry.number, answer) for entry, answer in zip(read, answers, strict=True)])
        return True

    def _send(self, frames: list[bytes]) -> None:
        report = self._report()
        if report is not None:
            frames.append(pack_frame(0, DONE, report))
        try:
            self._connection.sendall(b"".join(frames))
        except OSError:  # the other end has closed
            self._is_closed = True


def _answer(number: int, answer: PredictionAnswer | Exception) -> bytes:
    return pack_frame(number, *told(answer))


def told(answer: PredictionAnswer | Exception) -> tuple[int, bytes]:
    """Status and body of an answer."""
    if isinstance(answer, PredictionAnswer):
        return DONE, as_json(answer)
    if isinstance(answer, NotLight):
        return NOT_LIGHT, b""
    if isinstance(answer, XtalforgeError):
        return REFUSED, pack_json(pack_error(answer))
    log.error("unexpected error", exc_info=answer)
    return FAULT, f"{type(answer).__name__} in the compute process".encode()
