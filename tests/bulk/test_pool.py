"""The pool replaces what is killed and hangs, and finds the row that is to blame."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.bulk import pool as pool_module
from app.bulk.chunks import Chunk
from app.bulk.pool import CRASHED, MAX_LOSSES, TIMED_OUT, Piece, Pool, ProcessesLost, Task
from app.datasets.rows import RawRow, RowKind
from tests.bulk.pool_mains import answer
from tests.workers.conftest import wait_until


def _tasks(*chunks: list[str]) -> Iterator[Task]:
    for number, texts in enumerate(chunks):
        rows = [RawRow(10 * number + i + 1, "", RowKind.COMPOSITION, text, "") for i, text in enumerate(texts)]
        yield Task(Chunk(number, rows))


def _run(folder: Path, *chunks: list[str], n_processes: int = 2) -> dict[int, object]:
    answers: dict[int, object] = {}
    with Pool(answer, folder, n_processes) as pool:
        for task, message in pool.run(_tasks(*chunks), lambda: False):
            assert task.chunk is not None
            if not isinstance(message, Piece):
                assert task.chunk.number not in answers
                answers[task.chunk.number] = message
    return answers


def test_killers_and_hangers_are_excluded_and_all_else_is_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "ROW_TIMEOUT_S", 1.0)
    answers = _run(
        tmp_path, ["fine"], ["fine", "kill", "fine"], ["hang", "fine"], ["kill once"], *[["fine"]] * 5, ["kill", "hang"]
    )
    assert answers == {
        **{number: [] for number in (0, 3, 4, 5, 6, 7, 8)},
        1: [(1, CRASHED)],
        2: [(0, TIMED_OUT)],
        9: [(0, CRASHED), (1, TIMED_OUT)],
    }


def test_losses_that_no_row_is_to_blame_for_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(ProcessesLost, match=f"{MAX_LOSSES + 1} times"):
        _run(tmp_path, ["kill between rows"], n_processes=1)


def test_an_error_of_a_process_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"):
        _run(tmp_path, ["fail"], n_processes=1)


def test_a_process_killed_from_outside_is_replaced_and_a_stop_leaves_none(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    answers = []
    with Pool(answer, tmp_path, 2) as pool:
        for _, message in pool.run(_tasks(*[["fine"]] * 20), lambda: len(answers) == 30):
            answers.append(message)
            if len(answers) == 4:
                os.kill(_children(before)[0].pid, signal.SIGKILL)
    assert len(answers) == 30
    wait_until(lambda: not _children(before), "the processes to end", 5)


def _children(before: set[psutil.Process]) -> list[psutil.Process]:
    children = set(psutil.Process().children()) - before
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
