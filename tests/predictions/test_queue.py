"""The bound on concurrent predictions."""

import asyncio
from threading import Event

import pytest

from app.core.errors import QueueFull
from app.predictions.queue import PredictionQueue


def test_a_full_queue_refuses_and_recovers() -> None:
    release = Event()

    async def scenario() -> None:
        queue = PredictionQueue(threads=1, max_waiting=1)
        accepted = [asyncio.create_task(queue.run(lambda: release.wait(10))) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFull) as refused:
            await queue.run(lambda: True)
        assert refused.value.context["retry_after_s"] > 0
        release.set()
        assert await asyncio.gather(*accepted) == [True, True]
        assert await queue.run(lambda: True)
        queue.close()

    asyncio.run(scenario())


def test_an_error_frees_its_place() -> None:
    async def scenario() -> None:
        queue = PredictionQueue(threads=1, max_waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 / 0)
        queue.close()

    asyncio.run(scenario())
