"""A batch that does not fit into memory is computed in parts, and the step that failed leaves no trace."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.learning.samples import IntArray, NetworkBatch
from app.learning.training.loop import FitResult, Trainer, TrainingEvent, TrainingStopped
from tests.learning.test_training import run, spec
from workers.trainer import describe

JOB = spec(max_epochs=4)


class SmallMemory:
    """Room for `most_rows` rows at once; what does not fit is noticed after the forward pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most_rows: int) -> None:
        self.n_failures = 0
        loss = Trainer._loss

        def limited(trainer: Trainer, indices: IntArray, batch: NetworkBatch) -> Tensor:
            answer = loss(trainer, indices, batch)
            if len(indices) > most_rows:
                self.n_failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return answer

        monkeypatch.setattr(Trainer, "_loss", limited)


def test_a_failed_step_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        memory = SmallMemory(patch, 5)
        model, events = run(JOB, tmp_path / "small")
    assert memory.n_failures == 1
    assert [event.split for event in events] == [2] * 4
    fit = Trainer.fit

    def in_parts_from_the_start(
        trainer: Trainer, on_event: Callable[[TrainingEvent], None], should_stop: Callable[[], bool]
    ) -> FitResult:
        trainer.state.progress.split = 2
        return fit(trainer, on_event, should_stop)

    monkeypatch.setattr(Trainer, "fit", in_parts_from_the_start)
    expected, told = run(JOB, tmp_path / "parts")
    assert model.weights == expected.weights
    assert [event.learning_rate for event in events] == [event.learning_rate for event in told]


def test_parts_are_halved_until_they_fit_and_the_resumed_run_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SmallMemory(monkeypatch, 5)
    job = spec(max_epochs=4, batch_size=16)
    whole, events = run(job, tmp_path / "whole")
    assert (memory.n_failures, events[-1].split) == (2, 4)
    with pytest.raises(TrainingStopped):
        run(job, tmp_path / "broken", stop_at_epoch=2)
    assert memory.n_failures == 4
    resumed, _ = run(job, tmp_path / "broken")
    assert memory.n_failures == 4
    assert resumed.weights == whole.weights


def test_what_cannot_be_halved_any_more_is_an_error_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SmallMemory(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        run(JOB, tmp_path)
    assert describe(caught.value).code == "out_of_memory"
