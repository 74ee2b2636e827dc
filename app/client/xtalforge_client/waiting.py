"""What the blocking and the asynchronous client do differently: sleeping, and several calls at once."""

import asyncio
from asyncio import sleep as sleep_async
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import sleep
from typing import TypeVar

__all__ = ["lookahead", "lookahead_async", "sleep", "sleep_async"]

Given = TypeVar("Given")
Result = TypeVar("Result")


def lookahead(work: Callable[[Given], Result], items: Iterable[Given], parallel: int) -> Iterator[Result]:
    """Results in the order of the items, `parallel` of them at work at once, in threads."""
    with ThreadPoolExecutor(parallel) as threads:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(threads.submit(work, item))
                if len(running) >= parallel:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


async def lookahead_async(
    work: Callable[[Given], Awaitable[Result]], items: Iterable[Given], parallel: int
) -> AsyncIterator[Result]:
    """Results in the order of the items, `parallel` of them at work at once, in tasks."""
    running: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            running.append(asyncio.ensure_future(work(item)))
            if len(running) >= parallel:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
