"""Predictions run in threads beside the event loop; what may be at work or wait is bounded."""

import contextvars
import time
from asyncio import wrap_future
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from app.core.errors import QueueFull
from app.core.metrics import STAGE_SECONDS

T = TypeVar("T")

RETRY_AFTER_S = 2


class PredictionQueue:
    """`threads` requests are at work at once and `max_waiting` more may wait, with `max_inputs` inputs together.

    The next one is refused. A request is never too large for an idle queue.
    """

    def __init__(self, threads: int, max_waiting: int, max_inputs: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="prediction")
        self._capacity = threads + max_waiting
        self._max_inputs = max_inputs
        self._in_flight = 0
        self._inputs = 0
        self._lock = Lock()

    async def run(self, work: Callable[[], T], n_inputs: int = 1) -> T:
        """The result of `work`, run in a thread; raises QueueFull when there is no place for it."""
        self._admit(n_inputs)
        future = self._executor.submit(contextvars.copy_context().run, self._begun(work))
        # Counted until the work ends, also when the client has gone meanwhile.
        future.add_done_callback(lambda _: self._release(n_inputs))
        return await wrap_future(future)

    async def wait_for(self, submit: Callable[[], Awaitable[T]], n_inputs: int = 1) -> T:
        """The result of what `submit` hands to another thread; raises QueueFull when there is no place for it."""
        self._admit(n_inputs)
        try:
            return await submit()
        finally:
            self._release(n_inputs)

    def load(self) -> tuple[int, int]:
        """Requests at work or waiting, and their inputs."""
        with self._lock:
            return self._in_flight, self._inputs

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begun(self, work: Callable[[], T]) -> Callable[[], T]:
        admitted = time.perf_counter()

        def begin() -> T:
            STAGE_SECONDS.labels("queue").observe(time.perf_counter() - admitted)
            return work()

        return begin

    def _admit(self, n_inputs: int) -> None:
        with self._lock:
            is_too_much = self._in_flight > 0 and self._inputs + n_inputs > self._max_inputs
            if is_too_much or self._in_flight >= self._capacity:
                raise QueueFull(
                    f"{self._in_flight} prediction requests with {self._inputs:,} inputs are waiting already. Try "
                    f"again in {RETRY_AFTER_S} s.",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._in_flight += 1
            self._inputs += n_inputs

    def _release(self, n_inputs: int) -> None:
        with self._lock:
            self._in_flight -= 1
            self._inputs -= n_inputs
