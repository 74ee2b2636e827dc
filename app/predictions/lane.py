"""Small requests that wait at the same time are computed together, by one thread that the event loop hands them to."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from app.predictions.answers import as_json
from app.predictions.service import Asked, PredictionService

Request = TypeVar("Request")
Answer = TypeVar("Answer")

MAX_TOGETHER = 16

Compute = Callable[[Sequence[Request]], Sequence[Answer | Exception]]


class CommonLane(Generic[Request, Answer]):
    """Takes whatever waits, up to `MAX_TOGETHER` requests, and computes it in one call; an idle one begins at once.

    One thread, because several that take turns within one interpreter cost each other more time than they gain.
    """

    def __init__(self, compute: Compute[Request, Answer]) -> None:
        """`compute` gives an answer or an exception for each request, in order; what it raises itself is for all."""
        self._compute = compute
        self._waiting: SimpleQueue[tuple[Request, asyncio.Future[Answer]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="common-lane", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> "asyncio.Future[Answer]":
        """The answer to come; for the event loop."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put((request, future))
        return future

    def close(self) -> None:
        self._waiting.put(None)

    def _serve(self) -> None:
        while (first := self._waiting.get()) is not None:
            together = [first]
            with suppress(Empty):
                while len(together) < MAX_TOGETHER:
                    following = self._waiting.get_nowait()
                    if following is None:
                        self.close()
                        break
                    together.append(following)
            self._answer(together)

    def _answer(self, together: Sequence[tuple[Request, "asyncio.Future[Answer]"]]) -> None:
        answers: Sequence[Answer | Exception]
        try:
            answers = self._compute([request for request, _ in together])
        except Exception as error:  # noqa: BLE001 - raised where the requests are answered
            answers = [error] * len(together)
        futures = [future for _, future in together]
        # One message for all: each wakes the event loop.
        futures[0].get_loop().call_soon_threadsafe(_settle, futures, answers)


def _settle(futures: Sequence["asyncio.Future[Answer]"], answers: Sequence[Answer | Exception]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if future.done():  # nobody waits for it any more
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


class PredictionLane(CommonLane[Asked, bytes]):
    """Predictions in common, as the bodies of their answers."""

    def __init__(self, service: PredictionService) -> None:
        super().__init__(
            lambda requests: [
                answer if isinstance(answer, Exception) else as_json(answer)
                for answer in service.predict_together(requests)
            ]
        )
