"""Statistics of rounds, and processes that answer, fail and die."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import Row, Spread, Worker, WorkerError, call_together, interleave, machine, ratio

CONTENDER = "tests.benchmarks.contender"


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker("test", Path(sys.executable), CONTENDER, {}) as process:
        yield process


def _row(name: str, rounds: list[float] | None = None) -> Row:
    return Row("part", "case", name, rounds=rounds or [])


def test_a_spread_is_median_smallest_and_largest() -> None:
    assert Spread.of([3.0, 1.0, 10.0, 2.0]) == Spread(2.5, 1.0, 10.0, 4)


def test_the_ratio_is_the_median_over_rounds_and_not_the_ratio_of_medians() -> None:
    # The machine was slow in the second round, for both: the ratio of every round is 2 or 3.
    found = ratio(_row("ours", [1.0, 10.0, 2.0]), _row("theirs", [3.0, 20.0, 4.0]))
    assert found == Spread(2.0, 2.0, 3.0, 3)


def test_there_is_no_ratio_without_rounds() -> None:
    assert ratio(_row("ours", [1.0]), _row("theirs")) is None


def test_rounds_alternate_their_order_and_fill_the_rows() -> None:
    order: list[str] = []

    def measurement(name: str) -> Any:
        def run() -> Mapping[str, Any]:
            order.append(name)
            return {"wall_s": float(len(order)), "cpu_s": 0.5, "extra": {"seen": len(order)}}

        return run

    rows = [_row("a"), _row("b")]
    interleave([(row, measurement(row.contender)) for row in rows], 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert rows[0].rounds == [1.0, 4.0, 5.0] and rows[1].rounds == [2.0, 3.0, 6.0]
    assert rows[0].cpu_rounds == [0.5] * 3 and rows[0].extra == {"seen": 5}


def test_a_value_of_its_own_stands_for_the_wall_time() -> None:
    row = _row("a")
    interleave([(row, lambda: {"wall_s": 9.0, "cpu_s": 9.0, "value": 0.25})], 2)
    assert row.rounds == [0.25, 0.25]


def test_who_fails_is_left_out_with_the_reason_and_the_others_go_on() -> None:
    calls: list[int] = []

    def failing() -> Mapping[str, Any]:
        calls.append(1)
        if len(calls) == 2:
            raise WorkerError("out of memory")
        return {"wall_s": 1.0, "cpu_s": 1.0}

    rows = [_row("bad"), _row("good")]
    interleave([(rows[0], failing), (rows[1], lambda: {"wall_s": 1.0, "cpu_s": 1.0})], 4)
    assert rows[0].why_missing == "out of memory" and rows[0].rounds == [] and len(calls) == 2
    assert len(rows[1].rounds) == 4


def test_rows_survive_json() -> None:
    row = Row("part", "case", "name", threads=2, x=5.0, rounds=[1.0], extra={"p95_s": 0.1}, baseline=True)
    assert Row.from_json(row.to_json()) == row


def test_a_worker_answers_with_its_times_and_memory_whatever_is_printed(worker: Worker) -> None:
    answer = worker.call("add", a=2, b=3)
    assert worker.about["package"] == "test 1"
    assert answer["sum"] == 5 and answer["wall_s"] >= 0 and answer["cpu_s"] >= 0 and 5 < answer["peak_rss_mb"] < 500


def test_a_worker_that_failed_once_goes_on(worker: Worker) -> None:
    with pytest.raises(WorkerError, match=r"^ValueError: cannot do this$"):
        worker.call("fail")
    with pytest.raises(WorkerError, match="AttributeError"):
        worker.call("unknown")
    assert worker.call("add", a=1, b=1)["sum"] == 2


def test_a_worker_that_died_says_so(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="exit code 3"):
        worker.call("die")
    with pytest.raises(WorkerError, match="ended"):
        worker.call("add", a=1, b=1)


def test_a_package_that_cannot_be_loaded_is_a_reason() -> None:
    with pytest.raises(WorkerError, match="ImportError: no such package"):
        Worker("test", Path(sys.executable), CONTENDER, {"broken": True})
    with pytest.raises(WorkerError, match="ModuleNotFoundError"):
        Worker("test", Path(sys.executable), "tests.benchmarks.nothing", {})


def test_several_workers_at_once() -> None:
    processes = [Worker("test", Path(sys.executable), CONTENDER, {}) for _ in range(2)]
    try:
        answer = call_together(processes, "add", [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    finally:
        for process in processes:
            process.close()
    assert [a["sum"] for a in answer["answers"]] == [3, 7]
    assert answer["wall_s"] > 0 and answer["cpu_s"] >= 0


def test_the_machine_is_named() -> None:
    about = machine()
    assert about["processor"] and about["cores"] >= 1 and about["memory_gb"] > 0
