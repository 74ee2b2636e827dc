"""Small requests computed in common: each gets its own answer or its own error."""

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from app.predictions.lane import MAX_TOGETHER, CommonLane


class Halver:
    """Halves even numbers, refuses odd ones, and all of a group with a zero; `gate` holds up the next group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = Event()

    def __call__(self, requests: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(requests))
        assert self.gate.wait(10)
        if 0 in requests:
            raise ZeroDivisionError
        return [ValueError(f"{n} is odd") if n % 2 else n // 2 for n in requests]


async def _outcome(lane: CommonLane[int, int], number: int) -> int | str:
    try:
        return await lane.submit(number)
    except (ValueError, ZeroDivisionError) as error:
        return type(error).__name__


def _run(halve: Halver, *rounds: Sequence[int]) -> list[list[int | str]]:
    async def scenario() -> list[list[int | str]]:
        lane: CommonLane[int, int] = CommonLane(halve)
        answers = []
        for numbers in rounds:
            halve.gate.clear()
            asked = [asyncio.create_task(_outcome(lane, numbers[0]))]
            while not halve.groups or halve.groups[-1] != [numbers[0]]:
                await asyncio.sleep(0.001)
            asked += [asyncio.create_task(_outcome(lane, number)) for number in numbers[1:]]
            await asyncio.sleep(0.01)
            halve.gate.set()
            answers.append(await asyncio.gather(*asked))
        lane.close()
        return answers

    return asyncio.run(scenario())


def test_an_idle_lane_begins_at_once_and_takes_the_rest_together() -> None:
    halve = Halver()
    (answers,) = _run(halve, [2, 4, 5, 6, 7])
    assert answers == [1, 2, "ValueError", 3, "ValueError"]
    assert halve.groups == [[2], [4, 5, 6, 7]]


def test_what_fails_as_a_whole_fails_for_all_and_the_lane_goes_on() -> None:
    answers = _run(Halver(), [2, 0, 4], [8, 6])
    assert answers == [[1, "ZeroDivisionError", "ZeroDivisionError"], [4, 3]]


def test_a_group_is_bounded() -> None:
    halve = Halver()
    _run(halve, [2, *[4] * 40])
    assert [len(group) for group in halve.groups] == [1, MAX_TOGETHER, MAX_TOGETHER, 8]


def test_whoever_left_harms_nobody() -> None:
    halve = Halver()

    async def scenario() -> int:
        lane: CommonLane[int, int] = CommonLane(halve)
        left, stayed = lane.submit(2), lane.submit(4)
        left.cancel()
        halve.gate.set()
        answer = await stayed
        lane.close()
        return answer

    assert asyncio.run(scenario()) == 2


def test_closing_ends_the_thread_after_the_last_answer() -> None:
    halve = Halver()
    halve.gate.set()

    async def scenario() -> None:
        lane: CommonLane[int, int] = CommonLane(halve)
        last = lane.submit(6)
        lane.close()
        assert await last == 3
        await asyncio.to_thread(lane._thread.join, 5)
        assert not lane._thread.is_alive()

    asyncio.run(scenario())


def test_a_lane_must_run_where_there_is_a_loop() -> None:
    lane: CommonLane[int, int] = CommonLane(Halver())
    with pytest.raises(RuntimeError, match="no running event loop"):
        lane.submit(2)
    lane.close()
