"""Processes that read structures: whatever becomes of one, the others and the service go on."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
import pytest

from app.core.errors import NotReady
from app.core.settings import PROJECT_ROOT
from app.learning.featurising import FeaturisedStructure
from app.learning.graphs.settings import GraphSettings
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.pool import FeaturisingPool, StructureNotReadable, StructureTooSlow
from app.predictions.tasks import CrystalTask, TextTask
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure
from tests.crystals import rocksalt
from tests.predictions.hostile_texts import Crash, Fault, Greedy, Hang, Report, Sleep

SETTINGS = (GraphSettings(),)
WAIT_S = 30.0
LIMIT_S = 1.5


def _text(text: str) -> TextTask:
    return TextTask(text, StructureFormat.CIF, "", SETTINGS)


GOOD = _text(NACL_CIF)


@pytest.fixture
def pool() -> Iterator[FeaturisingPool]:
    pool = FeaturisingPool(2, LIMIT_S)
    yield pool
    pool.close()


def _pid(pool: FeaturisingPool) -> int:
    return int(_report(pool)[0])


def _report(pool: FeaturisingPool) -> list[str]:
    error = pool.submit([_text(Report("report"))]).answers[0].result(WAIT_S)[0].error
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
    crystal = read_structure(NACL_CIF)
    text, graph = (answer.result(WAIT_S) for answer in pool.submit([GOOD, CrystalTask(crystal, SETTINGS)]).answers)
    assert _good(text) and _good(graph)


def test_it_loads_no_torch(pool: FeaturisingPool) -> None:
    assert _report(pool)[1] == ""


def test_a_crash_costs_one_structure(pool: FeaturisingPool) -> None:
    answers = pool.submit([GOOD, _text(Crash("x")), *[GOOD] * 20]).answers
    with pytest.raises(StructureNotReadable, match="twice"):
        answers[1].result(WAIT_S)
    assert all(_good(answer.result(WAIT_S)) for i, answer in enumerate(answers) if i != 1)


def test_a_process_that_is_killed_is_replaced(pool: FeaturisingPool) -> None:
    pid = _pid(pool)
    os.kill(pid, signal.SIGKILL)
    assert _is_gone(pid, 5)
    assert all(_good(answer.result(WAIT_S)) for answer in pool.submit([GOOD] * 5).answers)


def test_a_text_that_hangs_is_given_up(pool: FeaturisingPool) -> None:
    started = time.monotonic()
    answers = pool.submit([GOOD, _text(Hang("x")), *[GOOD] * 20]).answers
    with pytest.raises(StructureTooSlow, match=r"1\.5 s"):
        answers[1].result(WAIT_S)
    assert all(_good(answer.result(WAIT_S)) for i, answer in enumerate(answers) if i != 1)
    assert time.monotonic() - started < 15


def test_a_halted_process_is_given_up() -> None:
    pool = FeaturisingPool(1, 0.3)
    try:
        pid = _pid(pool)
        os.kill(pid, signal.SIGSTOP)
        (answer,) = pool.submit([GOOD]).answers
        with pytest.raises(StructureTooSlow):
            answer.result(WAIT_S)
        assert _is_gone(pid, 5)
        assert _good(pool.submit([GOOD]).answers[0].result(WAIT_S))
    finally:
        pool.close()


@pytest.mark.parametrize(("text", "code"), [(Fault("x"), "internal_error"), (Greedy("x"), "structure_too_large")])
def test_faults_and_greed_are_errors_of_one_structure(pool: FeaturisingPool, text: str, code: str) -> None:
    bad, good = (answer.result(WAIT_S) for answer in pool.submit([_text(text), GOOD]).answers)
    assert bad[0].error is not None and bad[0].error.code == code
    assert _good(good)


def test_it_hears_no_interrupt(pool: FeaturisingPool) -> None:
    pid = _pid(pool)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert _pid(pool) == pid


def test_closing_leaves_nobody_and_answers_all() -> None:
    pool = FeaturisingPool(1, LIMIT_S)
    pid = _pid(pool)
    answers = pool.submit([_text(Sleep("x")), *[GOOD] * 30]).answers
    time.sleep(0.2)
    pool.close()
    assert _is_gone(pid, 1)
    assert all(isinstance(answer.exception(1), NotReady) for answer in answers)
    with pytest.raises(NotReady):
        pool.submit([GOOD])


_PARENT = """
import time
from tests.predictions import test_pool as t
pool = t.FeaturisingPool(1, 60.0)
print(t._pid(pool), flush=True)
pool.submit([t._text(t.Hang("x"))])
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


def test_a_caller_helps(pool: FeaturisingPool) -> None:
    featuriser = Featuriser(pool)
    alone = featuriser.start([_light(NACL_CIF)], in_pool=False)
    assert not alone.is_done and alone.help() and alone.is_done and not alone.help()
    assert _good(alone.results()[0])
    assert pool._threads == []
    tasks = [_light(NACL_CIF.replace("5.6402", f"5.{i}")) for i in range(10, 40)]
    done = threading.Semaphore(0)
    shared = featuriser.start(tasks, in_pool=True, on_done=done.release)
    while shared.help():
        continue
    assert all(done.acquire(timeout=WAIT_S) for _ in tasks) and shared.is_done
    assert all(_good(structures) for structures in shared.results())
    assert featuriser.start(tasks, in_pool=True).is_done


def test_what_is_not_light_comes_back_unread(pool: FeaturisingPool) -> None:
    # 96 times as many atoms as the file lists, and a cell with a height of 0.002 Å.
    large = NACL_CIF.replace("5.6402", "25").replace("Na 0 0 0", "Na 0.06 0.11 0.19")
    large = large.replace("Cl 0.5 0.5 0.5", "Cl 0.13 0.24 0.37")
    splinter = CrystalTask(replace(rocksalt(5.64, "Na", "Cl"), lattice=np.diag([300.0, 300.0, 0.002])), SETTINGS, True)
    for featuriser in (Featuriser(), Featuriser(pool)):
        assert featuriser.featurise([_light(large), _light(NACL_CIF), splinter])[::2] == [[], []]
    assert len(Featuriser(pool).featurise([_text(large)])[0]) == 1


def test_the_same_text_is_read_once(pool: FeaturisingPool) -> None:
    featuriser = Featuriser(pool)
    (first,) = featuriser.featurise([GOOD])
    (again,) = featuriser.featurise([GOOD])
    assert again is first
    (other,) = featuriser.featurise([TextTask(NACL_CIF, StructureFormat.CIF, "", ())])
    assert other is not first and other[0].graphs == ()


def test_what_was_given_up_is_tried_again(pool: FeaturisingPool) -> None:
    featuriser = Featuriser(pool)
    hang = _text(Hang("x"))
    for _ in range(2):
        ((structure,),) = featuriser.featurise([hang])
        assert isinstance(structure.error, StructureTooSlow)
    assert not featuriser._seen._entries


def test_without_a_pool_everything_is_read_here() -> None:
    featuriser = Featuriser()
    answers = featuriser.featurise([GOOD, _text(Fault("x")), _text("hello")])
    assert _good(answers[0])
    assert [a[0].error.code for a in answers[1:] if a[0].error] == ["internal_error", "unparsable_structure"]
