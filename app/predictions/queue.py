"""Predictions run in threads beside the event loop, a bounded number of them at a time."""

import contextvars
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from app.core.errors import QueueFull

T = TypeVar("T")

RETRY_AFTER_S = 2


class PredictionQueue:
    """`threads` requests are computed at once, `max_waiting` more may wait; the next one is refused."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="prediction")
        self._capacity = threads + max_waiting
        self._in_flight = 0
        self._lock = Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`; raises QueueFull when no place is free."""
        with self._lock:
            if self._in_flight >= self._capacity:
                raise QueueFull(
                    f"{self._in_flight} prediction requests are waiting already. Try again in {RETRY_AFTER_S} s, or "
                    "send more inputs in one request.",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._in_flight += 1
        future = self._executor.submit(contextvars.copy_context().run, work)
        # Counted until the work ends, also when the client has gone meanwhile.
        future.add_done_callback(self._release)
        return await wrap_future(future)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, _future: Future[Any]) -> None:
        with self._lock:
            self._in_flight -= 1
