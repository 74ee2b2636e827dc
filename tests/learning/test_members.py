"""Models that are the mean of several networks, each trained without another part of the rows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from app.core.errors import InvalidJob
from app.learning.checkpoints import load_network
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.predictor import Predictor
from app.learning.presets import resolve_hyperparameters
from app.learning.samples import CompositeSamples
from app.learning.strategies.members import fit_members
from app.learning.strategies.run import Fitted
from app.learning.training.loop import TrainingEvent, TrainingStopped
from app.learning.training_job import TrainedModel, TrainingTable, open_run
from app.registry.card import render_card
from app.registry.manifest import Architecture
from tests.crystals import rocksalt
from tests.learning.test_strategies import FEW, crystals, run, spec

CPU = torch.device("cpu")
THREE = FEW | {"members": 3}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, list[TrainingEvent]]:
    seen: list[TrainingEvent] = []
    job = spec(Method.SCRATCH, Architecture.CGCNN, **THREE)
    return run(job, tmp_path_factory.mktemp("members"), on_event=seen.append), seen


def network_of(model: TrainedModel) -> EnsembleNetwork:
    network = load_network(model.manifest, model.weights, CPU)
    assert isinstance(network, EnsembleNetwork)
    return network


def fitted(folder: Path, **given: object) -> Fitted:
    job = spec(Method.SCRATCH, Architecture.CGCNN, **given)
    return fit_members(open_run(crystals(), job, None, None, folder, lambda _: None, lambda: False))


def test_the_model_is_the_mean_of_networks_of_their_own(several: tuple[TrainedModel, list[TrainingEvent]]) -> None:
    model, _ = several
    manifest = model.manifest
    assert manifest.architecture is Architecture.ENSEMBLE and manifest.training.hyperparameters["members"] == 3
    network, predictor = network_of(model), Predictor.from_bytes(manifest, model.weights)
    item = rocksalt(5.0, "Na", "F")
    samples, _ = predictor.featurise([item])
    assert isinstance(samples, CompositeSamples)
    outputs = network.member_outputs(samples.batch(np.arange(1), CPU))
    assert outputs.shape == (1, 3) and len(set(outputs[0].tolist())) == 3
    [value] = predictor.forward(samples)
    assert value == pytest.approx(float(outputs.detach().mean()), abs=1e-5)
    assert "without part 3 of 3" in json.dumps(manifest.network) and "2 at most, of each of 3 networks" in render_card(
        manifest
    )


def test_validation_rows_train_too_and_errors_of_a_cell_are_told(
    several: tuple[TrainedModel, list[TrainingEvent]],
) -> None:
    record, metrics = several[0].manifest.training, several[0].manifest.metrics
    assert record.n_val == 0 and record.n_train + record.n_test == 48 and "train too" in record.split
    assert metrics.val is None and metrics.test is not None and metrics.test.mae_total is not None


def test_epochs_of_all_are_counted_on(several: tuple[TrainedModel, list[TrainingEvent]]) -> None:
    model, seen = several
    assert [event.epoch for event in seen] == [1, 2, 3, 4, 5, 6] and {event.max_epochs for event in seen} == {6}
    assert list(dict.fromkeys(event.stage for event in seen)) == [f"network {n} of 3" for n in (1, 2, 3)]
    assert [entry["epoch"] for entry in model.history] == [1, 2]
    validated = [event.val_mae for event in seen if event.epoch % 2]
    assert model.history[0]["val_mae"] == pytest.approx(np.mean(validated))


def test_each_error_is_of_the_network_that_has_not_seen_the_row(tmp_path: Path) -> None:
    """Found again with the networks alone: whose training rows a row is not among."""
    found = fitted(tmp_path, **THREE)
    errors, network = found.held_out_errors, found.network
    assert errors is not None and np.isfinite(errors).all() and isinstance(network, EnsembleNetwork)
    job = spec(Method.SCRATCH, Architecture.CGCNN, **THREE)
    whole = open_run(crystals(), job, None, None, tmp_path, lambda _: None, lambda: False)
    rows = found.split.train
    batch = whole.prepared.samples.take(rows).batch(np.arange(len(rows)), CPU)
    with torch.inference_mode():
        each = np.abs(network.eval().member_outputs(batch).numpy() - whole.prepared.labels[rows][:, None])
    nearest = np.abs(each - errors[:, None])
    assert nearest.min(axis=1).max() < 1e-4
    shares = np.bincount(nearest.argmin(axis=1), minlength=3)
    assert shares.min() >= len(rows) // 3 - 2, "each network is judged by a third of the rows"


def test_rows_that_chose_the_weights_tell_no_errors(tmp_path: Path) -> None:
    found = fitted(tmp_path, **THREE, kept_weights="best")
    assert found.held_out_errors is not None and np.isnan(found.held_out_errors).all()


def test_what_was_stopped_goes_on_with_the_network_it_was_at(tmp_path: Path) -> None:
    job = spec(Method.SCRATCH, Architecture.CGCNN, **THREE)
    seen: list[TrainingEvent] = []

    def run_to(limit: int, folder: str) -> TrainedModel:
        return run(job, tmp_path / folder, on_event=seen.append, should_stop=lambda: len(seen) >= limit)

    with pytest.raises(TrainingStopped):
        run_to(3, "stopped")
    again = run_to(1000, "stopped")
    assert [event.epoch for event in seen] == [1, 2, 3, 4, 5, 6], "the first is not trained again"
    seen.clear()
    whole = run_to(1000, "whole")
    assert len(seen) == 6
    for name, tensor in load(whole.weights).items():
        assert torch.equal(tensor, load(again.weights)[name]), name


@pytest.mark.parametrize(
    ("method", "architecture", "given"),
    [
        (Method.FINE_TUNE, Architecture.CGCNN, {}),
        (Method.FREEZE, Architecture.CGCNN, {}),
        (Method.TL3, Architecture.SCHNET, {"target": "total"}),
        (Method.FREEZE, Architecture.ELEMNET, {}),
        (Method.RL_DENSE, Architecture.ELEMNET_REPRESENTATION, {"layer": 2}),
    ],
)
def test_every_kind_of_network(
    method: Method, architecture: Architecture, given: dict[str, object], tmp_path: Path
) -> None:
    source = Architecture.ELEMNET if architecture is Architecture.ELEMNET_REPRESENTATION else architecture
    base = run(spec(Method.SCRATCH, source, **FEW), tmp_path / "base")
    model = run(spec(method, architecture, **FEW, members=2, **given), tmp_path / "model", base)
    network = network_of(model)
    assert len(network.members) == 2 and np.isfinite(model.test_predictions).all()
    assert model.manifest.parent is not None and model.manifest.input_kind is base.manifest.input_kind
    frozen = method in (Method.FREEZE, Method.TL3)
    if frozen and architecture is not Architecture.ELEMNET:
        first, second = (dict(member.named_parameters()) for member in network.members)
        name = next(name for name in first if name.startswith("embedding"))
        assert torch.equal(first[name], second[name])


def test_other_graphs_than_the_usual_are_read_as_they_are(tmp_path: Path) -> None:
    usual = spec(Method.SCRATCH, Architecture.CGCNN, **FEW, members=2)
    job = usual.model_copy(update={"graph": GraphSettings(cutoff=5.0)})
    model = run(job, tmp_path)
    assert model.manifest.graph is not None and model.manifest.graph["cutoff"] == 5.0
    predictor = Predictor.from_bytes(model.manifest, model.weights)
    assert np.isfinite(predictor.forward(predictor.featurise([rocksalt(5.0, "Na", "F")])[0])).all()


@pytest.mark.parametrize(
    ("architecture", "method", "given", "words"),
    [
        (Architecture.CGCNN, Method.SCRATCH, {"preset": "paper"}, "tanh"),
        (Architecture.ELEMNET_REPRESENTATION, Method.RL_DENSE, {}, "name the layer"),
        (Architecture.BASELINE, Method.LASSO, {}, "does not use members"),
        (Architecture.ENSEMBLE, Method.AUTO, {}, "does not use members"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    architecture: Architecture, method: Method, given: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidJob, match=words):
        resolve_hyperparameters(
            architecture, method, Hyperparameters.model_validate(given | {"members": 3}), 300
        )  # fmt: skip


def test_a_formula_that_is_most_of_the_data_is_named(tmp_path: Path) -> None:
    """One of the networks would have next to nothing to learn from."""
    table = crystals()
    items = [rocksalt(4.0 + 0.02 * i, "Mg", "O") for i in range(30)] + list(table.items[:12])
    few = TrainingTable(items, np.linspace(-3.0, -1.0, len(items)), [str(i) for i in range(len(items))])
    job = spec(Method.SCRATCH, Architecture.CGCNN, **THREE)
    with pytest.raises(InvalidJob, match="one formula is most of the data"):
        run(job, tmp_path, table=few)
    assert run(spec(Method.SCRATCH, Architecture.CGCNN, **THREE, split="random"), tmp_path, table=few)


def test_more_members_than_formulas_are_refused(tmp_path: Path) -> None:
    items = [rocksalt(4.0 + 0.02 * i, "Mg", ("O", "S", "F", "Cl", "Br", "I")[i % 6]) for i in range(24)]
    few = TrainingTable(items, np.linspace(-3.0, -1.0, len(items)), [str(i) for i in range(len(items))])
    job = spec(Method.SCRATCH, Architecture.CGCNN, **FEW, members=8)
    with pytest.raises(InvalidJob, match="Choose fewer members"):
        run(job, tmp_path, table=few)


def test_the_time_is_for_all(tmp_path: Path) -> None:
    """Each network stops after the first epoch where there is none."""
    job = spec(Method.SCRATCH, Architecture.CGCNN, **FEW, members=3, max_seconds=1e-6)
    model = run(job, tmp_path)
    assert model.manifest.training.epochs == 1 and len(model.history) == 1
