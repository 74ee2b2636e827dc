"""Processes that read structures: whatever becomes of one, the others and the service go on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.core.errors import NotReady
from app.core.settings import PROJECT_ROOT
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.settings import GraphSettings
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.pool import FeaturisingPool, StructureNotReadable, StructureTooSlow
from app.predictions.tasks import LANE_CHARACTERS, ObjectTask, TextTask
from app.structures.detect import StructureFormat
from tests.predictions.hostile_worker import LIES, MODULE, PICKLE_MARK

SETTINGS = (GraphSettings(),)
EDGE = 5.6402
_PLACES = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
SALT = {
    "numbers": [11] * 4 + [17] * 4,
    "positions": [[x * EDGE / 2, y * EDGE / 2, z * EDGE / 2] for x, y, z in _PLACES],
    "cell": [EDGE] * 3,
    "pbc": True,
}
WAIT_S = 30.0
LIMIT_S = 1.5


def _text(text: str) -> TextTask:
    return TextTask(text, StructureFormat.CIF, "", SETTINGS)


GOOD = _text(NACL_CIF)
SALT_OBJECT = ObjectTask(json.dumps(SALT), SETTINGS)


@pytest.fixture
def pool() -> Iterator[FeaturisingPool]:
    pool = FeaturisingPool(2, LIMIT_S, MODULE)
    yield pool
    pool.close()


def _pid(pool: FeaturisingPool) -> int:
    return int(_report(pool)[0])


def _report(pool: FeaturisingPool) -> list[str]:
    error = pool.submit([_text("!report")])[0].result(WAIT_S)[0].error
    assert error is not None
    return error.detail.split(" ")


def _is_gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _good(answer: list[FeaturisedStructure]) -> bool:
    return answer[0].crystal is not None and answer[0].crystal.reduced_formula == "ClNa" and len(answer[0].graphs) == 1


def test_it_reads_what_is_read_here(pool: FeaturisingPool) -> None:
    text, obj = (answer.result(WAIT_S) for answer in pool.submit([GOOD, SALT_OBJECT]))
    assert _good(text) and _good(obj)


def test_it_loads_no_torch(pool: FeaturisingPool) -> None:
    assert _report(pool)[1] == ""


def test_a_crash_costs_one_structure(pool: FeaturisingPool) -> None:
    answers = pool.submit([GOOD, _text("!crash"), *[GOOD] * 20])
    with pytest.raises(StructureNotReadable, match="twice"):
        answers[1].result(WAIT_S)
    assert all(_good(answer.result(WAIT_S)) for i, answer in enumerate(answers) if i != 1)


def test_a_process_that_is_killed_is_replaced(pool: FeaturisingPool) -> None:
    pid = _pid(pool)
    os.kill(pid, signal.SIGKILL)
    assert _is_gone(pid, 5)
    assert all(_good(answer.result(WAIT_S)) for answer in pool.submit([GOOD] * 5))


def test_a_process_that_read_enough_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.predictions.pool.REPLACE_AFTER", 3)
    pool = FeaturisingPool(1, LIMIT_S, MODULE)
    try:
        pids = [_pid(pool) for _ in range(3)]
        assert all(_good(answer.result(WAIT_S)) for answer in pool.submit([GOOD] * 5))
        pids.append(_pid(pool))
    finally:
        pool.close()
    assert len(set(pids[:3])) == 1 and pids[3] != pids[0] and not psutil.pid_exists(pids[0])


def test_a_text_that_hangs_is_given_up(pool: FeaturisingPool) -> None:
    started = time.monotonic()
    answers = pool.submit([GOOD, _text("!hang"), *[GOOD] * 20])
    with pytest.raises(StructureTooSlow, match=r"1\.5 s"):
        answers[1].result(WAIT_S)
    assert all(_good(answer.result(WAIT_S)) for i, answer in enumerate(answers) if i != 1)
    assert time.monotonic() - started < 15


def test_a_halted_process_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.predictions.pool.ANSWER_GRACE_S", 0.5)
    pool = FeaturisingPool(1, 1.0, MODULE)
    try:
        pid = _pid(pool)
        os.kill(pid, signal.SIGSTOP)
        (answer,) = pool.submit([GOOD])
        with pytest.raises(StructureTooSlow):
            answer.result(WAIT_S)
        assert _is_gone(pid, 5)
        assert _good(pool.submit([GOOD])[0].result(WAIT_S))
    finally:
        pool.close()


@pytest.mark.parametrize(("text", "code"), [("!fault", "internal_error"), ("!greedy", "structure_too_large")])
def test_faults_and_greed_are_errors_of_one_structure(pool: FeaturisingPool, text: str, code: str) -> None:
    bad, good = (answer.result(WAIT_S) for answer in pool.submit([_text(text), GOOD]))
    assert bad[0].error is not None and bad[0].error.code == code
    assert _good(good)


@pytest.mark.parametrize("how", LIES)
def test_a_lie_ends_the_process_and_costs_one_structure(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.predictions.pool.ANSWER_GRACE_S", 0.1)
    Path(PICKLE_MARK).unlink(missing_ok=True)
    pool = FeaturisingPool(1, LIMIT_S, MODULE)
    try:
        pid = _pid(pool)
        (answer,) = pool.submit([_text(f"!lie {how}")])
        if how == "unasked":  # the first of the answers is in order, the process is not
            answer.result(WAIT_S)
            (answer,) = pool.submit([GOOD])
        with pytest.raises(StructureTooSlow if how in ("silent", "drip") else StructureNotReadable):
            answer.result(WAIT_S)
        assert _is_gone(pid, 5)
        assert _good(pool.submit([GOOD])[0].result(WAIT_S))
        assert not Path(PICKLE_MARK).exists()
    finally:
        pool.close()


def test_it_does_not_know_the_settings_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTALFORGE_DATABASE_URL", "postgresql://user:secret@host/x")
    pool = FeaturisingPool(1, LIMIT_S, MODULE)
    try:
        error = pool.submit([_text("!environment")])[0].result(WAIT_S)[0].error
    finally:
        pool.close()
    assert error is not None and "PATH" in error.detail and "XTALFORGE" not in error.detail


def test_it_hears_no_interrupt(pool: FeaturisingPool) -> None:
    pid = _pid(pool)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert _pid(pool) == pid


def test_closing_leaves_nobody_and_answers_all() -> None:
    pool = FeaturisingPool(1, LIMIT_S, MODULE)
    pid = _pid(pool)
    answers = pool.submit([_text("!sleep"), *[GOOD] * 30])
    time.sleep(0.2)
    pool.close()
    assert _is_gone(pid, 1)
    assert all(isinstance(answer.exception(1), NotReady) for answer in answers)
    with pytest.raises(NotReady):
        pool.submit([GOOD])


_PARENT = """
import time
from tests.predictions import test_pool as t
pool = t.FeaturisingPool(1, 60.0, t.MODULE)
print(t._pid(pool), flush=True)
pool.submit([t._text('!hang')])
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux binds children to the life of their parent")
def test_nobody_outlives_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=PROJECT_ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
    assert _is_gone(pid, 3)


def _light(text: str) -> TextTask:
    return TextTask(text, StructureFormat.CIF, "", SETTINGS, only_light=True)


def test_what_is_not_light_comes_back_unread(pool: FeaturisingPool) -> None:
    # 96 times as many atoms as the file lists, and a cell with a height of 0.02 Å.
    large = NACL_CIF.replace("5.6402", "25").replace("Na 0 0 0", "Na 0.06 0.11 0.19")
    large = large.replace("Cl 0.5 0.5 0.5", "Cl 0.13 0.24 0.37")
    sites = "".join(f"C {137 * i % 1000 / 1000} {71 * i % 1000 / 1000} {251 * i % 1000 / 1000}\n" for i in range(60))
    heads = "".join(f"_atom_site_{name}\n" for name in ("label", "fract_x", "fract_y", "fract_z"))
    cell = "_cell_length_a 2\n_cell_length_b 500\n_cell_length_c 500\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    splinter = f"data_x\n{cell}_cell_angle_gamma 0.5\nloop_\n{heads}{sites}"
    many = "".join(NACL_CIF.replace("data_NaCl", f"data_{i}") for i in range(9))
    for featuriser in (Featuriser(), Featuriser(pool)):
        asked = [_light(text) for text in (large, splinter, many, f"{NACL_CIF}{' ' * LANE_CHARACTERS * 4}", NACL_CIF)]
        assert [len(structures) for structures in featuriser.featurise(asked)] == [0, 0, 0, 0, 1]
    assert [len(read) for read in Featuriser(pool).featurise([_text(large), _text(splinter), _text(many)])] == [1, 1, 9]


def test_the_same_text_is_read_once(pool: FeaturisingPool) -> None:
    featuriser = Featuriser(pool)
    (first,) = featuriser.featurise([GOOD])
    (again,) = featuriser.featurise([GOOD])
    assert again is first
    (other,) = featuriser.featurise([TextTask(NACL_CIF, StructureFormat.CIF, "", ())])
    assert other is not first and other[0].graphs == ()


def test_what_was_given_up_is_tried_again(pool: FeaturisingPool) -> None:
    featuriser = Featuriser(pool)
    hang = _text("!hang")
    for _ in range(2):
        ((structure,),) = featuriser.featurise([hang])
        assert isinstance(structure.error, StructureTooSlow)
    assert not featuriser._seen._entries


def test_without_a_pool_everything_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    featuriser = Featuriser()
    monkeypatch.setattr("app.predictions.tasks.json.loads", lambda _: 1 / 0)
    answers = featuriser.featurise([GOOD, SALT_OBJECT, _text("hello")])
    assert _good(answers[0])
    assert [a[0].error.code for a in answers[1:] if a[0].error] == ["internal_error", "unparsable_structure"]
