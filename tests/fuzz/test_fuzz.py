"""The short form of `python -m tests.fuzz`; tests/fuzz/__main__.py has the long one."""

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.campaign import run_batch
from tests.fuzz.guided import run as run_guided
from tests.fuzz.mutations import MAX_BYTES, mutated
from tests.fuzz.reader_processes import reader_pool, run_reader_batch
from tests.fuzz.seeds import Corpus
from tests.fuzz.targets import TARGETS

N_INPUTS = {"composition": 2_000, "cif": 500, "csv": 100, "jsonl": 100, "parquet": 200, "zip": 200}


@pytest.mark.parametrize("target", N_INPUTS)
def test_what_is_spoilt_is_read_or_refused(target: str, tmp_path: Path) -> None:
    batch = run_batch(target, TARGETS[target], Corpus(target, 0), 0, range(N_INPUTS[target]), tmp_path)
    assert batch.n == N_INPUTS[target]
    assert batch.findings == []


def test_reader_processes_outlive_what_is_spoilt(tmp_path: Path) -> None:
    with reader_pool() as pool:
        batch = run_reader_batch(pool, Corpus("cif", 0), 0, range(100), tmp_path)
    assert batch.n == 100
    assert batch.findings == []


def test_a_reader_that_breaks_or_hangs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        if len(data) % 2:
            raise KeyError(len(data))
        while not data:
            pass

    monkeypatch.setattr("tests.fuzz.campaign.HANG_S", 0.1)
    corpus = Corpus("composition", 0)
    batch = run_batch("composition", broken, corpus, 0, range(300), tmp_path)
    wrong = [number for number in range(300) if len(corpus.input(number)) % 2 or not corpus.input(number)]
    assert [found["input"] for found in batch.findings] == wrong
    assert any("Hang" in str(found["error"]) for found in batch.findings)
    assert (tmp_path / "composition" / f"{wrong[0]}.bin").read_bytes() == corpus.input(wrong[0])


def test_an_input_follows_from_its_number_and_is_bounded() -> None:
    assert [Corpus("zip", 3).input(n) for n in range(50)] == [Corpus("zip", 3).input(n) for n in range(50)]
    rng = Random(0)
    assert max(len(mutated(b"1 " * 500, rng, [b"x" * 9_000])) for _ in range(300)) <= MAX_BYTES


def test_inputs_are_bred_by_the_code_they_reach() -> None:
    pytest.importorskip("atheris", reason="the extra `fuzz` is not installed")
    record = run_guided("composition", 500, 0)
    assert (record["finding"], record["inputs"]) == ("", 500)
    assert record["coverage"][0] > 0
