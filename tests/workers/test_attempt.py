import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from app.core.errors import InvalidJob
from app.learning.training.loop import TrainingDiverged
from tests.registry.examples import make_manifest
from workers import failure
from workers.attempt import CHECKPOINT_FOLDER, FAILED, AttemptFolder, Run
from workers.trainer import describe


def test_the_next_attempt_gets_the_checkpoint_and_a_folder_of_its_own(tmp_path: Path) -> None:
    first = AttemptFolder.create(tmp_path, "token-1")
    (first.checkpoint / "state").write_text("epoch 7")
    (first.checkpoint / "state.partial").write_text("epo")
    (first.path / "error.json").write_text("{}")
    second = AttemptFolder.create(tmp_path, "token-2")
    assert (second.checkpoint / "state").read_text() == "epoch 7"
    assert not (second.checkpoint / "state.partial").exists()
    assert second.read_error() is None
    assert [path.name for path in tmp_path.iterdir()] == ["token-2"]


def test_what_a_training_is_given_is_what_it_reads(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path, "token")
    models = [(make_manifest(name, name.encode()), name.encode()) for name in ("base", "one", "two")]
    run = Run(spec={"seed": 1}, parent=None, device="cpu", log_level="INFO", log_format="json")
    folder.write_input(run, b"rows", models[0], models[1:])
    assert folder.read_input() == (run, b"rows", models[0]) and folder.read_sources() == models[1:]
    alone = AttemptFolder.create(tmp_path, "other")
    alone.write_input(run, b"rows", None)
    assert alone.read_input()[2] is None and alone.read_sources() == []


def test_the_newest_checkpoint_wins(tmp_path: Path) -> None:
    for name, text in (("a", "older"), ("b", "newer")):
        folder = tmp_path / name / CHECKPOINT_FOLDER
        folder.mkdir(parents=True)
        (folder / "state").write_text(text)
    os.utime(tmp_path / "a" / CHECKPOINT_FOLDER, (1, 1))
    assert (AttemptFolder.create(tmp_path, "c").checkpoint / "state").read_text() == "newer"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidJob("Too few rows."), "invalid_job", "Too few rows."),
        (TrainingDiverged("NaN"), "training_diverged", "NaN"),
        (MemoryError(), "out_of_memory", "batch_size"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory", "batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory", "batch_size"),
        (ValueError("bad\nsecond line"), "training_failed", "(ValueError: bad)"),
        (OSError(28, "No space left on device"), "disk_full", "disk of the worker is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk_full", "disk of the worker"),
        (KeyError(), "training_failed", "(KeyError)"),
    ],
)
def test_errors_become_a_code_and_a_sentence(error: Exception, code: str, words: str) -> None:
    described = describe(error)
    assert described.code == code
    assert words in described.detail
    assert "\n" not in described.detail


def test_an_end_is_told_where_there_is_no_memory_to_log_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(failure.log, "exception", without_memory)
    attempt = AttemptFolder(tmp_path)
    assert failure.failed(attempt, describe(MemoryError()), "training failed") == FAILED
    told = attempt.read_error()
    assert told is not None and told.code == "out_of_memory"
