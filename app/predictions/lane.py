"""Small requests are computed by one thread, together with all that wait at the same time."""

import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from app.predictions.featuriser import Part
from app.predictions.lane_reader import LaneReader
from app.predictions.schemas import PredictionAnswer
from app.predictions.service import Asked, Begun, NotLight, PredictionService
from app.predictions.tasks import is_short

ENOUGH = 8
"""Requests that are computed at once; a micro-batch of more saves little."""
READER_CHUNK = 4
"""Texts that a reader is given at once."""
_RECEIVED_BYTES = 1 << 18

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    number: int
    begun: Begun


class PredictionLane:
    """Answers what comes over a socket, in the thread that calls `serve`. An idle one begins at once.

    What waits is read by the readers too, where there are any: this thread computes the requests that are read, and
    while there are too few of them it reads as well, but for long texts, which are the readers' alone. One thread,
    because several that take turns within one interpreter cost each other more time than they gain.
    """

    def __init__(
        self,
        service: PredictionService,
        connection: socket.socket,
        asked_of: Callable[[bytes], Asked],
        report: Callable[[], bytes | None],
        readers: Sequence[LaneReader] = (),
    ) -> None:
        """`asked_of` opens a request's body; `report` is sent before answers where there is any (a frame's body)."""
        self._service = service
        self._connection = connection
        self._asked_of = asked_of
        self._report = report
        self._readers = readers
        self._frames = Frames()
        self._open: list[_Open] = []
        self._unread: deque[Part] = deque()
        self._long: deque[Part] = deque()
        self._is_closed = False

    def serve(self) -> None:
        """Until the other end closes."""
        may_wait = True
        with self._connection:
            while not self._is_closed:
                for number, body in self._arrived(may_wait=may_wait):
                    self._begin(number, body)
                self._share()
                may_wait = not self._advance()
        for reader in self._readers:
            reader.close()

    def _arrived(self, *, may_wait: bool) -> Iterator[tuple[int, bytes]]:
        """Numbers and bodies of the requests that have come since. What readers have read is put where it belongs."""
        busy = [(reader, reader.connection) for reader in self._readers if not reader.is_idle]
        most = min((reader.seconds_left for reader, _ in busy), default=None) if may_wait else 0.0
        asked = (self._connection, *(connection for _, connection in busy if connection is not None))
        ready, _, _ = select.select(asked, (), (), most)
        for reader, connection in busy:
            if connection in ready or reader.seconds_left == 0.0:
                reader.take()
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

    def _begin(self, number: int, body: bytes) -> None:
        try:
            begun = self._service.begin(self._asked_of(body))
            parts = begun.reading.parts()
            if not self._readers and not all(is_short(part.task) for part in parts):
                raise NotLight
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            self._send([_answer(number, error)])
        else:
            self._open.append(_Open(number, begun))
            for part in parts:
                (self._unread if is_short(part.task) else self._long).append(part)

    def _share(self) -> None:
        """Give idle readers a long text each, or of the short ones that have waited least: others are read here first.

        A long text is given alone: none waits for it that could be read here.
        """
        for reader in self._readers:
            if not reader.is_idle:
                continue
            if self._long:
                reader.give([self._long.popleft()])
            elif n := min(len(self._unread) // 2, READER_CHUNK):
                reader.give([self._unread.pop() for _ in range(n)])

    def _advance(self) -> bool:
        """Answer the requests that are read, or read one structure; False when there is nothing to do but to wait."""
        read = [entry for entry in self._open if entry.begun.reading.is_done][:ENOUGH]
        if len(read) < ENOUGH and self._unread:
            self._unread.popleft().do()
            return True
        if not read:
            return False
        taken = set(map(id, read))
        self._open = [entry for entry in self._open if id(entry) not in taken]
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
            frames.insert(0, pack_frame(0, DONE, report))
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
