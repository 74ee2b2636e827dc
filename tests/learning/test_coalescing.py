"""Concurrent calls computed together: same answers, no waiting when idle, nobody harmed by another's error."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from app.learning.coalescing import Coalescer

WAIT_S = 10.0


class Doubler:
    """Doubles numbers, refuses negative ones, notes its batches; `gate` holds up the next one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if any(item < 0 for item in items):
            raise ValueError("negative")
        return [2 * item for item in items]


def _one(_item: int) -> int:
    return 1


def _until(condition: object, pool: "Coalescer[int, int]", n: int) -> None:
    deadline = time.monotonic() + WAIT_S
    while len(pool._waiting) < n:
        assert time.monotonic() < deadline, condition
        time.sleep(0.001)


def test_an_idle_one_computes_in_the_callers_thread() -> None:
    threads: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        threads.append(threading.get_ident())
        return list(items)

    assert Coalescer(run, _one, 10)([1, 2, 3]) == [1, 2, 3]
    assert threads == [threading.get_ident()]
    assert Coalescer(run, _one, 10)([]) == []


def test_what_comes_meanwhile_is_computed_together() -> None:
    double = Doubler()
    coalescer = Coalescer(double, _one, 100)
    double.gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(coalescer, [0])
        assert double.entered.wait(WAIT_S)
        others = [pool.submit(coalescer, [i, 10 * i]) for i in range(1, 9)]
        _until("all wait", coalescer, 9)
        double.gate.set()
        assert first.result(WAIT_S) == [0]
        assert [other.result(WAIT_S) for other in others] == [[2 * i, 20 * i] for i in range(1, 9)]
    assert [len(batch) for batch in double.batches] == [1, 16]


def test_a_long_call_shares_micro_batches_with_short_ones() -> None:
    double = Doubler()
    coalescer = Coalescer(double, _one, 10)
    double.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        long = pool.submit(coalescer, range(100))
        assert double.entered.wait(WAIT_S)
        short = [pool.submit(coalescer, [1000 + i]) for i in range(3)]
        _until("all wait", coalescer, 4)
        double.gate.set()
        assert long.result(WAIT_S) == [2 * i for i in range(100)]
        assert [s.result(WAIT_S) for s in short] == [[2000], [2002], [2004]]
    assert {1000, 1001, 1002} <= set(double.batches[1])
    assert all(len(batch) <= 10 for batch in double.batches)


def test_items_beyond_the_budget_go_alone() -> None:
    double = Doubler()
    assert Coalescer(double, lambda item: item, 10)([50, 3, 60, 4]) == [100, 6, 120, 8]
    assert double.batches == [[50], [3], [60], [4]]


def test_an_error_reaches_its_batch_and_nobody_else() -> None:
    double = Doubler()
    coalescer = Coalescer(double, _one, 2)
    double.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(coalescer, [1])
        assert double.entered.wait(WAIT_S)
        bad = pool.submit(coalescer, [-1, -2])
        _until("bad waits", coalescer, 2)
        good = pool.submit(coalescer, [3, 4, 5])
        _until("good waits", coalescer, 3)
        double.gate.set()
        assert first.result(WAIT_S) == [2]
        with pytest.raises(ValueError, match="negative"):
            bad.result(WAIT_S)
        if [-1, -2] in double.batches:
            assert good.result(WAIT_S) == [6, 8, 10]
        else:  # the first micro-batch after the gate held one item of each
            with pytest.raises(ValueError, match="negative"):
                good.result(WAIT_S)
    assert coalescer([7]) == [14]


def test_a_wrong_number_of_answers_is_an_error_and_no_endless_loop() -> None:
    with pytest.raises(RuntimeError, match="2 items got 1 answers"):
        Coalescer(lambda _items: [0], _one, 10)([1, 2])


def test_many_threads_get_their_own_answers() -> None:
    coalescer = Coalescer(Doubler(), lambda item: 1 + item % 7, 40)

    def caller(seed: int) -> None:
        random = Random(seed)
        for _ in range(60):
            items = [random.randrange(1000) for _ in range(random.randrange(1, 30))]
            assert coalescer(items) == [2 * item for item in items]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(caller, range(12)))
    assert not coalescer._waiting and not coalescer._is_led
