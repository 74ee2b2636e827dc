"""The bound on concurrent predictions."""

import asyncio
from threading import Event

import pytest

from app.core.errors import QueueFull
from app.predictions.queue import PredictionQueue


def test_a_full_queue_refuses_and_recovers() -> None:
    release = Event()

    async def scenario() -> None:
        queue = PredictionQueue(threads=1, max_waiting=1, max_inputs=10)
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
        queue = PredictionQueue(threads=1, max_waiting=0, max_inputs=10)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 / 0)
        queue.close()

    asyncio.run(scenario())


def test_inputs_count_as_well_as_requests() -> None:
    release = Event()

    async def scenario() -> None:
        queue = PredictionQueue(threads=4, max_waiting=4, max_inputs=10)
        large = asyncio.create_task(queue.run(lambda: release.wait(10), n_inputs=1000))
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFull, match="1,000 inputs"):
            await queue.run(lambda: True)
        release.set()
        assert await large
        small = [queue.run(lambda: True, n_inputs=3) for _ in range(3)]
        assert await asyncio.gather(*small) == [True] * 3
        queue.close()

    asyncio.run(scenario())
