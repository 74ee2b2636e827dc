"""The long run in short, against a real service, and that it sees what it looks for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.predictions.examples import NACL_CIF
from benchmarks.endurance import Plan, run
from benchmarks.endurance_checks import broken_promises
from benchmarks.endurance_client import JobRecord, Record, Trouble
from benchmarks.endurance_kills import KINDS, Kill, plan
from benchmarks.endurance_memory import Life, growth
from benchmarks.endurance_mix import Mix
from benchmarks.endurance_report import write
from tests.e2e.conftest import free_port
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]

KILL = Kill(100.0, "API process", "SIGKILL")
GOOD = Record("CIF", 99.0, 99.0, 101.5, 200)


@pytest.mark.proof
def test_a_killed_process_costs_nobody_an_answer(tmp_path: Path, tiny_models: Path) -> None:
    weights = {"upload": 4.0, "CIF": 2.0, "composition": 2.0, "page": 1.0, "refused": 1.0}
    short = Plan(
        seconds=5, share=0.3, seed=2, n_kills=1, database="sqlite", api_workers=1, capacity_s=2, step_s=1, steps=(0.5,),
        lease_s=4, drain_s=150, warm_up_s=0.5, kills=("compute process",), weights=weights,
        job_weights={"scratch": 1.0}, models_store=tiny_models,
    )  # fmt: skip
    result = run(short, [NACL_CIF], tmp_path, free_port())
    assert result["broken"] == [] and result["plain_lines"] == {}
    measured = result["measured"]
    assert measured["small"]["n"] > 5 and measured["jobs"]["accepted"] >= 2
    assert [kill["kind"] for kill in measured["kills"]] == ["compute process"]
    about = {
        "minutes": 0.1, "share": 0.3, "command": "short", "date": "today", "commit": "", "seed": 2, "warm_up_s": 0,
        "structures": "NaCl", "database": "SQLite", "api_workers": 1, "machine":
        {"processor": "", "cores": 1, "memory_gb": 1, "system": "", "load_before": 0},
    }  # fmt: skip
    write(tmp_path / "results", "short", about | result)
    assert "No promise was broken" in (tmp_path / "results" / "short.md").read_text()
    assert (tmp_path / "results" / "short.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (replace(GOOD, status=500, wrong="500 internal_error: ..."), "CIF: 500 internal_error"),
        (replace(GOOD, troubles=[Trouble(101.0, "503 not_ready", True, has_retry_after=False)]), "without Retry-After"),
        (replace(GOOD, troubles=[Trouble(90.0, "ReadError", True)]), "although no API process was killed"),
        (replace(GOOD, status=0, wrong="no complete answer", ended=150.0, troubles=[Trouble(101, "ReadError", False)]),
         "no complete answer"),
    ],
)  # fmt: skip
def test_what_was_not_promised_is_seen(record: Record, told: str) -> None:
    assert told in "; ".join(broken_promises([GOOD, record], [], [KILL]))


def test_what_was_promised_is_no_fault() -> None:
    refused = replace(GOOD, status=503, troubles=[Trouble(50.0, "503 not_ready", False)])
    lost = replace(GOOD, status=0, wrong="no complete answer", troubles=[Trouble(101.0, "ReadError", False)])
    assert broken_promises([GOOD, refused, lost], [], [KILL]) == []


def test_a_job_without_an_end_and_missing_events_are_seen() -> None:
    ask = Mix(1, [NACL_CIF]).next_job("ds_1")
    lost = JobRecord(ask, 1.0, job_id="job_1", status="running", wrong=["event 5 came after 3"])
    told = "; ".join(broken_promises([], [lost, JobRecord(ask, 1.0, "job_2", status="succeeded")], []))
    assert "did not come to an end (running)" in told and "event 5 came after 3" in told and "job_2" not in told


def test_every_kind_of_kill_comes_before_any_comes_again() -> None:
    planned = plan(7, 600, 10, list(KINDS))
    assert planned == plan(7, 600, 10, list(KINDS)) != plan(8, 600, 10, list(KINDS))
    assert {each.kind for each in planned[:7]} == set(KINDS)
    times = [each.at_s for each in planned]
    assert times == sorted(times) and times[0] > 0 and times[-1] < 600


def test_growth_is_told_from_noise() -> None:
    rng = np.random.default_rng(3)
    at = np.arange(0, 1200, 5.0)

    def life(kind: str, pid: int, mb_per_hour: float) -> Life:
        noise = np.repeat(rng.normal(0, 0.5, len(at) // 6), 6) + rng.normal(0, 0.1, len(at))
        warm_up = 40 * np.exp(-at / 20)
        return Life(kind, pid, list(at), list(200 + 10 * pid - warm_up + at / 3600 * mb_per_hour + noise))

    lives = [life("flat", 1, 0), life("flat", 2, 0), life("growing", 3, 30), life("growing", 4, 30)]
    flat, growing = growth([*lives, Life("brief", 5, [0.0, 5.0], [1.0, 2.0])], 120)[1:]
    assert flat.grows is False and growing.grows is True
    assert growing.slope == pytest.approx(30, abs=5) and growing.half_width is not None and growing.half_width < 10
    assert growth([Life("brief", 5, [0.0, 5.0], [1.0, 2.0])], 0)[0].slope is None
