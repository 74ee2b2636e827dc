"""A reader beside the lane: whatever becomes of its process, every text is answered and nobody waits for ever."""

import os
import select
import signal
import time
from collections.abc import Iterator

import pytest

from app.learning.graphs.settings import GraphSettings
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.lane_reader import LaneReader
from app.predictions.pool import ReaderProcess
from app.predictions.tasks import Structures, TextTask
from app.structures.detect import StructureFormat
from tests.predictions.hostile_worker import LIES, MODULE

LIMIT_S = 2.0


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[LaneReader]:
    monkeypatch.setattr("app.predictions.lane_reader.ANSWER_GRACE_S", 0.1)
    reader = LaneReader(ReaderProcess(LIMIT_S, MODULE), LIMIT_S)
    yield reader
    reader.close()


def _read(reader: LaneReader, *texts: str) -> list[Structures]:
    underway = Featuriser().start([TextTask(text, StructureFormat.CIF, "", (GraphSettings(),)) for text in texts])
    assert reader.is_idle and not underway.is_done
    reader.give(underway.parts())
    while not reader.is_idle:
        started = time.monotonic()
        ready, _, _ = select.select([reader.connection], (), (), reader.seconds_left)
        if ready or reader.seconds_left == 0.0:
            taking = time.monotonic()
            reader.take()
            assert time.monotonic() - taking < 0.8
        assert time.monotonic() - started < 2 * LIMIT_S
    assert underway.is_done
    return underway.results()


def _code(structures: Structures) -> str:
    (structure,) = structures
    if structure.crystal is not None:
        assert structure.crystal.reduced_formula == "ClNa" and len(structure.graphs) == 1
        return "ok"
    assert structure.error is not None
    return structure.error.code


def test_it_reads_and_is_used_again(reader: LaneReader) -> None:
    for edge in ("5.6", "5.7"):
        texts = [NACL_CIF.replace("5.6402", edge), "junk", NACL_CIF.replace("5.6402", f"{edge}1")]
        assert [_code(read) for read in _read(reader, *texts)] == ["ok", "unparsable_structure", "ok"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("!crash", "structure_not_readable"), ("!hang", "structure_too_slow"), ("!fault", "internal_error")],
)
def test_one_text_costs_no_other(reader: LaneReader, text: str, code: str) -> None:
    assert [_code(read) for read in _read(reader, NACL_CIF, text, NACL_CIF + "\n")] == ["ok", code, "ok"]


@pytest.mark.parametrize("how", LIES)
def test_a_lie_costs_one_text(reader: LaneReader, how: str) -> None:
    (told,) = map(_code, _read(reader, f"!lie {how}"))
    expected = {"silent": "structure_too_slow", "drip": "structure_too_slow", "unasked": "unparsable_structure"}
    assert told == expected.get(how, "structure_not_readable")
    assert [_code(read) for read in _read(reader, NACL_CIF)] == ["ok"]


def test_a_process_that_was_killed_or_halted_is_replaced(reader: LaneReader) -> None:
    _read(reader, NACL_CIF)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        process = reader._process._process
        assert process is not None
        os.kill(process.pid, number)
        (code,) = map(_code, _read(reader, NACL_CIF + f"# {number}"))
        assert code == ("ok" if number == signal.SIGKILL else "structure_too_slow")
    assert [_code(read) for read in _read(reader, NACL_CIF + "# 2")] == ["ok"]
