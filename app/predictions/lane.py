"""Small requests are computed by one thread, together with all that wait at the same time."""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue

from app.core.metrics import STAGE_SECONDS
from app.predictions.answers import as_json
from app.predictions.service import Asked, Begun, PredictionService

ENOUGH = 8
"""Requests that are computed at once; a micro-batch of more saves little."""


class _Signal(Enum):
    CLOSE = 0
    READ = 1  # the pool is done with a structure


@dataclass(frozen=True, slots=True)
class _Arrival:
    asked: Asked
    reply: "asyncio.Future[bytes]"
    at: float = field(default_factory=time.perf_counter)


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    begun: Begun
    reply: "asyncio.Future[bytes]"


class PredictionLane:
    """An idle one begins at once and does everything itself.

    Where `share` allows it, what waits is read by the pool as well: this thread computes the requests that are read,
    and while there are too few of them it reads too. One thread, because several that take turns within one interpreter
    cost each other more time than they gain.
    """

    def __init__(self, service: PredictionService, *, share: bool) -> None:
        self._service = service
        self._share = share
        self._inbox: SimpleQueue[_Arrival | _Signal] = SimpleQueue()
        self._open: list[_Open] = []
        self._thread = threading.Thread(target=self._serve, name="prediction-lane", daemon=True)
        self._thread.start()

    def submit(self, asked: Asked) -> "asyncio.Future[bytes]":
        """The body of the answer to come; for the event loop."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._inbox.put(_Arrival(asked, reply))
        return reply

    def close(self, timeout_s: float = 5.0) -> None:
        """End the thread after what has arrived."""
        self._inbox.put(_Signal.CLOSE)
        self._thread.join(timeout_s)

    def _serve(self) -> None:
        is_closing = False
        may_wait = True
        while not is_closing or self._open:
            arrived, closes = self._arrived(may_wait=may_wait and not (is_closing and not self._open))
            is_closing = is_closing or closes
            in_pool = self._share and len(arrived) + len(self._open) > 1
            for arrival in arrived:
                self._begin(arrival, in_pool=in_pool)
            may_wait = not self._advance()

    def _arrived(self, *, may_wait: bool) -> tuple[list[_Arrival], bool]:
        """What has come since, and whether the lane is to close."""
        messages: list[_Arrival | _Signal] = []
        with suppress(Empty):
            if may_wait:
                messages.append(self._inbox.get())
            while True:
                messages.append(self._inbox.get_nowait())
        return [entry for entry in messages if isinstance(entry, _Arrival)], _Signal.CLOSE in messages

    def _begin(self, arrival: _Arrival, *, in_pool: bool) -> None:
        def on_done() -> None:
            self._inbox.put(_Signal.READ)

        STAGE_SECONDS.labels("queue").observe(time.perf_counter() - arrival.at)
        try:
            begun = self._service.begin(arrival.asked, in_pool=in_pool, on_done=on_done)
        except Exception as error:  # noqa: BLE001 - raised where the request is answered
            _settle([arrival.reply], [error])
        else:
            self._open.append(_Open(begun, arrival.reply))

    def _advance(self) -> bool:
        """Answer the requests that are read, or read one structure; False when there is nothing to do but to wait."""
        read = [entry for entry in self._open if entry.begun.reading.is_done]
        if len(read) < ENOUGH and any(entry.begun.reading.help() for entry in self._open):
            return True
        if not read:
            return False
        self._open = [entry for entry in self._open if entry not in read]
        replies = [entry.reply for entry in read]
        try:
            answers = self._service.finish([entry.begun for entry in read])
            _settle(replies, [answer if isinstance(answer, Exception) else as_json(answer) for answer in answers])
        except Exception as error:  # noqa: BLE001 - raised where the requests are answered
            _settle(replies, [error] * len(replies))
        return True


def _settle(replies: Sequence["asyncio.Future[bytes]"], answers: Sequence[bytes | Exception]) -> None:
    # One message for all: each wakes the event loop.
    with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
        replies[0].get_loop().call_soon_threadsafe(_reply, replies, answers)


def _reply(replies: Sequence["asyncio.Future[bytes]"], answers: Sequence[bytes | Exception]) -> None:
    for reply, answer in zip(replies, answers, strict=True):
        if reply.done():  # nobody waits for it any more
            continue
        if isinstance(answer, Exception):
            reply.set_exception(answer)
        else:
            reply.set_result(answer)
