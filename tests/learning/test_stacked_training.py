"""Runs side by side are the runs one after another: same weights, same best epochs, same states on disk.

Equality is shown in float64 and, without the biases that a batch normalisation takes out again, in float32: where AdamW
moves those is decided by rounding, in a single run as in a stack.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.stacked import NotStackable, StackedForward, StackedWeights
from app.learning.networks.stacked_batch import StackedBatch
from app.learning.presets import resolve_hyperparameters
from app.learning.representations import ELEMENTAL_FRACTIONS
from app.learning.samples import Samples, make_samples
from app.learning.targets import TargetMap
from app.learning.training import stacked
from app.learning.training.loop import FitResult, LabelledSamples, TrainingDiverged, TrainingEvent, TrainingStopped
from app.learning.training.members import train_members
from app.learning.training.plan import TrainingPlan
from app.learning.training.stacked import StackedTrainer
from app.learning.training.stacked_member import Member, member_folder
from app.learning.training.state import STATE_FILE
from app.properties.catalogue import Transform
from app.registry.manifest import Architecture
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from tests.crystals import bcc, perovskite, rocksalt, zincblende

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
    ),
]
SHAPE = {"atom_feature_dim": 8, "hidden_dim": 8, "n_conv": 2}
METALS, ANIONS = ("Li", "Na", "K", "Rb", "Mg", "Ca"), ("F", "Cl", "Br", "O", "S")


def crystals() -> list[Crystal]:
    """70 crystals of one to eight atoms."""
    made: list[Crystal] = []
    for i, metal in enumerate(METALS):
        made += [rocksalt(4.2 + 0.1 * i + 0.2 * j, metal, anion) for j, anion in enumerate(ANIONS)]
        made += [zincblende(4.5 + 0.1 * i + 0.2 * j, metal, anion) for j, anion in enumerate(ANIONS)]
        made.append(bcc(3.0 + 0.3 * i, metal))
    return [*made, *(perovskite(3.8 + 0.1 * i, metal, "Ti", "O") for i, metal in enumerate(METALS[2:]))]


@pytest.fixture(scope="module")
def graphs() -> Samples:
    return make_samples(crystals(), GraphSettings(merge_equivalent=False))[0]


@pytest.fixture(scope="module")
def vectors() -> Samples:
    formulas = [f"{a}{i}{x}" for a in METALS for x in ANIONS for i in (1, 2)]
    return make_samples([parse_composition(formula) for formula in formulas], ELEMENTAL_FRACTIONS)[0]


def labels_of(samples: Samples) -> np.ndarray:
    return 50.0 + 30.0 * np.sin(np.arange(len(samples)) * 0.7)


def plan_of(seed: int, **given: object) -> TrainingPlan:
    chosen = Hyperparameters.model_validate({"max_epochs": 5, "batch_size": 8, **given})
    return TrainingPlan.of(resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, chosen, 1000), seed)


Build = Callable[[], nn.Module]


def cgcnn(frozen: tuple[str, ...] = (), **settings: object) -> Build:
    def build() -> nn.Module:
        network = Cgcnn(CgcnnSettings.model_validate({**SHAPE, **settings}))
        for name in frozen:
            network.get_submodule(name).requires_grad_(False)
        return network

    return build


def members_of(
    samples: Samples,
    build: Build,
    sizes: tuple[int, ...] = (48, 40, 55),
    dtype: torch.dtype = torch.float64,
    **given: object,
) -> list[Member]:
    """Runs with seeds, splits and (the step counts 6, 5 and 6) training rows of their own."""
    labels, members = labels_of(samples), []
    for seed, size in enumerate(sizes):
        torch.manual_seed(seed)
        rows = np.random.default_rng(seed).permutation(len(samples))
        train, val = rows[:size], rows[size:]
        members.append(
            Member(
                build().to(dtype),
                plan_of(seed, **given),
                TargetMap.fit(labels[train], Transform.LOG10, "standard"),
                LabelledSamples(samples.take(train), labels[train]),
                LabelledSamples(samples.take(val), labels[val]),
            )
        )
    return members


def fit(
    members: list[Member],
    folder: Path,
    side_by_side: bool,
    device: str = "cpu",
    stop: Callable[[list[tuple[int, TrainingEvent]]], bool] = lambda _: False,
) -> tuple[list[FitResult], list[tuple[int, TrainingEvent]]]:
    events: list[tuple[int, TrainingEvent]] = []
    results = train_members(
        members,
        folder,
        "key",
        torch.device(device),
        lambda index, event: events.append((index, event)),
        lambda: stop(events),
        side_by_side,
    )
    return results, events


def assert_equal_runs(
    single: list[Member], results: list[FitResult], stack: list[Member], others: list[FitResult], atol: float = 1e-5
) -> None:
    for a, b in zip(results, others, strict=True):
        assert (a.epochs, a.best_epoch) == (b.epochs, b.best_epoch)
        for key in ("train_loss", "val_mae", "val_mae_transformed"):
            np.testing.assert_allclose([h[key] for h in b.history], [h[key] for h in a.history], rtol=atol, atol=atol)
    for one, other in zip(single, stack, strict=True):
        wanted = one.network.state_dict()
        for name, value in other.network.state_dict().items():
            torch.testing.assert_close(
                value, wanted[name], rtol=atol, atol=atol, msg=lambda m, name=name: f"{name}: {m}"
            )


CASES = {
    "default": (cgcnn(), {}),
    "plain": (cgcnn(convolution="plain", activation="silu", n_hidden=2), {}),
    "averaged": (cgcnn(activation="silu"), {"ema_decay": 0.9, "loss": "huber"}),
    "sgd": (cgcnn(), {"optimizer": "sgd", "schedule": "step", "loss": "mse", "weight_decay": 1e-3}),
    "unclipped": (cgcnn(), {"gradient_clip": 0.0, "schedule": "constant", "weight_decay": 0.0}),
    "head only": (cgcnn(("embedding", "convolutions")), {}),
    "early frozen": (cgcnn(("embedding", "convolutions.0")), {"ema_decay": 0.8}),
    "last weights": (cgcnn(), {"kept_weights": "last", "schedule": "constant", "learning_rate": 0.05}),
    "norm frozen": (cgcnn(("convolutions.1.norm_message",)), {}),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", sorted(CASES))
def test_a_stack_is_its_runs(case: str, device: str, graphs: Samples, tmp_path: Path) -> None:
    build, given = CASES[case]
    single, stack = members_of(graphs, build, **given), members_of(graphs, build, **given)
    results, _ = fit(single, tmp_path / "single", False, device)
    others, events = fit(stack, tmp_path / "stack", True, device)
    assert_equal_runs(single, results, stack, others)
    assert sorted((index, event.epoch) for index, event in events) == [(i, e) for i in range(3) for e in range(1, 6)]


def test_a_stack_of_composition_networks_is_its_runs(vectors: Samples, tmp_path: Path) -> None:
    def build() -> nn.Module:
        return ElemNet17(ElemNetSettings(widths=(16, 16, 8)))

    # Inputs are float32.
    single, stack = (members_of(vectors, build, (40, 30), torch.float32) for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    others, _ = fit(stack, tmp_path / "stack", True)
    assert_equal_runs(single, results, stack, others, 1e-4)


def test_in_float32_too(graphs: Samples, tmp_path: Path) -> None:
    def build() -> nn.Module:
        network = cgcnn()()
        for name, parameter in network.named_parameters():
            # Its gradient is nothing but rounding errors: the batch normalisation takes it out again.
            parameter.requires_grad_(not name.endswith("centre.bias"))
        return network

    single, stack = (members_of(graphs, build, dtype=torch.float32) for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    assert_equal_runs(single, results, stack, fit(stack, tmp_path / "stack", True)[0], 5e-5)


def test_in_float32_training_losses_agree_whatever_rounding_does(graphs: Samples, tmp_path: Path) -> None:
    single, stack = (members_of(graphs, cgcnn(), dtype=torch.float32) for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    others, _ = fit(stack, tmp_path / "stack", True)
    for a, b in zip(results, others, strict=True):
        np.testing.assert_allclose(
            [h["train_loss"] for h in b.history], [h["train_loss"] for h in a.history], rtol=2e-5
        )
        assert b.best_val_mae == pytest.approx(a.best_val_mae, rel=0.02)


def test_averaged_weights_start_as_those_of_the_first_step(graphs: Samples, tmp_path: Path) -> None:
    given = {"ema_decay": 0.9, "batch_size": 40, "max_epochs": 1, "schedule": "constant", "learning_rate": 0.05}
    single, stack = (members_of(graphs, cgcnn(), **given) for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    assert_equal_runs(single, results, stack, fit(stack, tmp_path / "stack", True)[0])


def test_bfloat16_is_close(graphs: Samples, tmp_path: Path) -> None:
    single, stack = (members_of(graphs, cgcnn(), dtype=torch.float32, precision="bfloat16") for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    others, _ = fit(stack, tmp_path / "stack", True)
    for a, b in zip(results, others, strict=True):
        np.testing.assert_allclose(
            [h["train_loss"] for h in b.history], [h["train_loss"] for h in a.history], rtol=0.05
        )


def test_members_stop_when_they_would_alone_and_cost_nothing_after(
    graphs: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"max_epochs": 40, "patience": 3, "learning_rate": 0.05, "schedule": "constant"}
    single, stack = (members_of(graphs, cgcnn(), **given) for _ in range(2))
    results, _ = fit(single, tmp_path / "single", False)
    ends = [result.epochs for result in results]
    assert len(set(ends)) == 3 and max(ends) < 40
    computed: list[int] = []
    train = StackedForward.train

    def counted(self: StackedForward, weights: StackedWeights, trainable: Tensor, batch: StackedBatch) -> Tensor:
        computed.append(batch.n_members)
        return train(self, weights, trainable, batch)

    monkeypatch.setattr(StackedForward, "train", counted)
    others, events = fit(stack, tmp_path / "stack", True)
    # Chaos of a high learning rate: rounding grows by a factor an epoch.
    assert_equal_runs(single, results, stack, others, 1e-3)
    assert [max(e.epoch for i, e in events if i == member) for member in range(3)] == ends
    assert sum(computed) == sum(end * steps for end, steps in zip(ends, (6, 5, 6), strict=True))


@pytest.mark.parametrize("given", [{}, {"ema_decay": 0.9}, {"optimizer": "sgd", "schedule": "step"}])
@pytest.mark.parametrize("ways", [(True, True), (True, False), (False, True)])
def test_an_interrupted_stack_goes_on_from_its_states_or_those_of_single_runs(
    ways: tuple[bool, bool], given: dict[str, object], graphs: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked, "_SAVE_SHARE", float("inf"))
    monkeypatch.setattr("app.learning.training.loop._SAVE_SHARE", float("inf"))
    whole = members_of(graphs, cgcnn(), **given)
    results, _ = fit(whole, tmp_path / "whole", True)
    before, after = ways
    # Side by side: all are in their third epoch. One after another: the second member is.
    n_events = 6 if before else 7
    with pytest.raises(TrainingStopped):
        fit(members_of(graphs, cgcnn(), **given), tmp_path / "parts", before, stop=lambda e: len(e) >= n_events)
    resumed = members_of(graphs, cgcnn(), **given)
    others, events = fit(resumed, tmp_path / "parts", after)
    first = [next((e.epoch for i, e in events if i == member), None) for member in range(3)]
    assert first == ([3, 3, 3] if before else [None, 3, 1])
    assert_equal_runs(whole, results, resumed, others)


def test_a_stack_resumes_with_members_at_different_epochs(
    graphs: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked, "_SAVE_SHARE", float("inf"))
    whole = members_of(graphs, cgcnn())
    results, _ = fit(whole, tmp_path / "whole", True)
    with pytest.raises(TrainingStopped):
        fit(members_of(graphs, cgcnn()), tmp_path / "parts", True, stop=lambda events: len(events) >= 9)
    # Killed between the saving of one member and the next.
    (member_folder(tmp_path / "parts", 1) / STATE_FILE).unlink()
    resumed = members_of(graphs, cgcnn())
    others, events = fit(resumed, tmp_path / "parts", True)
    assert {(i, e.epoch) for i, e in events} == {(i, e) for i, start in enumerate((4, 1, 4)) for e in range(start, 6)}
    assert_equal_runs(whole, results, resumed, others)


def test_a_finished_stack_is_not_trained_again(graphs: Samples, tmp_path: Path) -> None:
    first = members_of(graphs, cgcnn())
    results, _ = fit(first, tmp_path, True)
    again = members_of(graphs, cgcnn())
    others, events = fit(again, tmp_path, True)
    assert events == []
    assert_equal_runs(first, results, again, others)
    assert all(result.earlier_s == result.elapsed_s for result in others)


def test_a_full_disk_costs_the_states_not_the_runs(
    graphs: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    whole = members_of(graphs, cgcnn())
    results, _ = fit(whole, tmp_path / "whole", True)
    monkeypatch.setattr("app.learning.training.state.save_file", disk_full)
    other = members_of(graphs, cgcnn())
    assert_equal_runs(whole, results, other, fit(other, tmp_path / "full", True)[0])
    assert "No space left" in caplog.text


class _SmallMemory:
    """Room for stacks of `most` members from the given step on, in a step that has moved the weights by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, from_step: int) -> None:
        self.n_failures, self.n_steps = 0, 0
        step = StackedTrainer._train_step

        def limited(trainer: StackedTrainer, *given: object) -> Tensor:
            answer = step(trainer, *given)  # type: ignore[arg-type]
            self.n_steps += 1
            if len(trainer.members) > most and self.n_steps >= from_step:
                self.n_failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return answer

        monkeypatch.setattr(StackedTrainer, "_train_step", limited)


@pytest.mark.parametrize(
    ("most", "from_step", "n_failures"), [(2, 1, 1), (1, 14, 2), (0, 1, 5)], ids=["at once", "later", "none fits"]
)
def test_a_stack_that_does_not_fit_goes_on_in_halves(
    most: int, from_step: int, n_failures: int, graphs: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked, "_SAVE_SHARE", float("inf"))
    single = members_of(graphs, cgcnn())
    results, _ = fit(single, tmp_path / "single", False)
    memory = _SmallMemory(monkeypatch, most, from_step)
    halved = members_of(graphs, cgcnn())
    others, events = fit(halved, tmp_path / "halved", True)
    assert memory.n_failures == n_failures
    assert_equal_runs(single, results, halved, others)
    epochs = [[event.epoch for i, event in events if i == member] for member in range(3)]
    assert epochs == [[1, 2, 3, 4, 5]] * 3, "whole epochs are saved: none is told of twice"


def test_time_is_up_for_all(graphs: Samples, tmp_path: Path) -> None:
    results, _ = fit(members_of(graphs, cgcnn(), max_seconds=1e-6), tmp_path, True)
    assert [result.epochs for result in results] == [1, 1, 1]


def test_a_diverging_member_is_named(graphs: Samples, tmp_path: Path) -> None:
    members = members_of(graphs, cgcnn())
    with torch.no_grad():
        next(members[1].network.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"member 1 \(seed 1\).*epoch 1.*learning_rate"):
        fit(members, tmp_path, True)


def test_runs_that_cannot_go_in_lock_step_are_refused(graphs: Samples, tmp_path: Path) -> None:
    members = members_of(graphs, cgcnn())
    slower = replace(members[2], plan=replace(members[2].plan, learning_rate=1e-4))
    with pytest.raises(NotStackable, match="Member 2 is trained otherwise"):
        StackedTrainer([*members[:2], slower], tmp_path, "key", CPU)
    lone = replace(members[1], train=LabelledSamples(graphs.take(np.array([3])), np.array([40.0])))
    with pytest.raises(NotStackable, match="Member 1 needs at least two training rows"):
        StackedTrainer([members[0], lone], tmp_path, "key", CPU)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_chooses_how_members_are_trained(device: str, graphs: Samples, tmp_path: Path) -> None:
    order: list[int] = []
    members = members_of(graphs, cgcnn(), max_epochs=2)
    where = torch.device(device)
    train_members(members, tmp_path, "key", where, lambda index, _: order.append(index), lambda: False)
    assert order == ([0, 1, 2, 0, 1, 2] if device == "cuda" else [0, 0, 1, 1, 2, 2])
