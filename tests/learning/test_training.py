"""The training loop learns, stops, resumes exactly, keeps the best epoch; transfer methods touch what they should."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file

from app.core.errors import InvalidJob
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import METHODS, Method
from app.learning.outputs import evaluation_batches
from app.learning.predictor import Predictor
from app.learning.presets import fields_used, resolve_hyperparameters
from app.learning.samples import make_samples
from app.learning.training.loop import TrainingDiverged, TrainingEvent, TrainingStopped
from app.learning.training.plan import TrainingPlan, learning_rate_at
from app.learning.training.state import STATE_FILE
from app.learning.training_job import TrainedModel, TrainingSpec, TrainingTable, open_run, train_model
from app.properties.catalogue import Transform, get_property
from app.registry.manifest import Architecture, Parent, PropertyRecord
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from tests.crystals import perovskite, rocksalt

PAIRS = [(a, x) for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "I", "O", "S")]


def rocksalts() -> TrainingTable:
    """Rocksalts whose 'bulk modulus' falls with the lattice constant: something a graph network can learn."""
    crystals = [rocksalt(4.2 + 0.05 * i, a, x) for i, (a, x) in enumerate(PAIRS)]
    return TrainingTable(crystals, np.array([3000.0 / c.volume for c in crystals]), [f"{a}{x}" for a, x in PAIRS])


def spec(
    method: Method = Method.SCRATCH, architecture: Architecture = Architecture.CGCNN, seed: int = 1, **given: object
) -> TrainingSpec:
    chosen = Hyperparameters.model_validate({"max_epochs": 8, "batch_size": 8, **given})
    return TrainingSpec(
        name="k-test",
        method=method,
        architecture=architecture,
        property=PropertyRecord.of(get_property("k_vrh")),
        seed=seed,
        hyperparameters=resolve_hyperparameters(architecture, method, chosen, len(PAIRS)),
        dataset_name="rocksalts",
    )


def run(
    job: TrainingSpec,
    folder: Path,
    base: TrainedModel | None = None,
    table: TrainingTable | None = None,
    stop_at_epoch: int | None = None,
) -> tuple[TrainedModel, list[TrainingEvent]]:
    events: list[TrainingEvent] = []
    parent = Parent(name="base", version=1, weights_sha256=base.manifest.weights_sha256) if base else None
    model = train_model(
        table or rocksalts(),
        job,
        (base.manifest, base.weights) if base else None,
        parent,
        folder,
        events.append,
        lambda: stop_at_epoch is not None and len(events) >= stop_at_epoch,
    )
    return model, events


def test_a_model_learns_and_answers_in_gpa(tmp_path: Path) -> None:
    model, events = run(spec(max_epochs=40, kept_weights="best"), tmp_path)
    test = model.manifest.metrics.test
    assert test is not None
    assert test.mae < 0.6 * test.mad
    assert [event.epoch for event in events] == list(range(1, 41))
    errors = [entry["val_mae_transformed"] for entry in model.history]
    assert model.manifest.training.best_epoch == 1 + int(np.argmin(errors))
    predictor = Predictor.from_bytes(model.manifest, model.weights)
    table = rocksalts()
    answers = predictor.predict([table.items[i] for i in model.test_rows])
    np.testing.assert_allclose(answers, model.test_predictions, rtol=1e-5)


def test_denormal_numbers_are_left_as_they_were_found(tmp_path: Path) -> None:
    run(spec(max_epochs=1), tmp_path)
    tiny = np.array([5e-324])
    assert (tiny * 1.0)[0] != 0.0
    assert float(torch.tensor([1e-310], dtype=torch.float64) * 1.0) != 0.0


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, _ = run(spec(), tmp_path / "a")
    again, _ = run(spec(), tmp_path / "b")
    other, _ = run(spec(seed=2), tmp_path / "c")
    assert first.weights == again.weights
    assert first.weights != other.weights


@pytest.mark.parametrize(
    "given",
    [{}, {"ema_decay": 0.9}, {"optimizer": "sgd", "schedule": "step"}, {"kept_weights": "last", "learning_rate": 0.1}],
)
def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.learning.training.loop._SAVE_SHARE", float("inf"))
    whole, _ = run(spec(**given), tmp_path / "whole")
    with pytest.raises(TrainingStopped):
        run(spec(**given), tmp_path / "parts", stop_at_epoch=3)
    resumed, events = run(spec(**given), tmp_path / "parts")
    assert events[0].epoch == 4
    assert resumed.weights == whole.weights
    assert [h["val_mae"] for h in resumed.history] == [h["val_mae"] for h in whole.history]


def test_the_state_of_another_run_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.learning.training.loop._SAVE_SHARE", float("inf"))
    run(spec(), tmp_path)
    _, events = run(spec(seed=2), tmp_path)
    assert events[0].epoch == 1


def test_the_time_of_all_attempts_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.learning.training.loop._SAVE_SHARE", float("inf"))
    with pytest.raises(TrainingStopped):
        run(spec(max_epochs=4), tmp_path, stop_at_epoch=3)
    path = tmp_path / STATE_FILE
    with safe_open(path, framework="pt") as file:
        progress = json.loads(file.metadata()["progress"])
    save_file(load_file(path), path, metadata={"progress": json.dumps(progress | {"elapsed_s": 1000.0})})
    model, events = run(spec(max_epochs=4), tmp_path)
    assert events[0].elapsed_s > 1000
    assert model.manifest.training.wall_s is not None
    assert model.manifest.training.wall_s >= 1000


@pytest.mark.parametrize("damage", ["cut", "emptied", "no progress", "another network"])
def test_a_damaged_state_starts_the_run_over(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.learning.training.loop._SAVE_SHARE", float("inf"))
    whole, _ = run(spec(max_epochs=3), tmp_path)
    path = tmp_path / STATE_FILE
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "no progress":
        save_file(tensors, path)
    else:
        save_file({**tensors, "network/output.weight": torch.zeros(1, 3)}, path, metadata=metadata)
    again, events = run(spec(max_epochs=3), tmp_path)
    assert events[0].epoch == 1
    assert "starts over" in caplog.text
    assert again.weights == whole.weights


def test_a_full_disk_costs_the_state_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    whole, _ = run(spec(max_epochs=2), tmp_path / "whole")
    monkeypatch.setattr("app.learning.training.state.save_file", disk_full)
    model, _ = run(spec(max_epochs=2), tmp_path / "full")
    assert model.weights == whole.weights
    assert "No space left" in caplog.text
    assert not list((tmp_path / "full").iterdir())


def test_the_last_weights_are_kept_unless_an_epoch_was_much_better() -> None:
    plan = TrainingPlan.of(spec(kept_weights="last", max_epochs=8).hyperparameters, 1)
    assert plan.keeps(3, 0.9, 1.0) and not plan.keeps(3, 1.1, 1.0)
    assert plan.keeps(8, 1.14, 1.0) and not plan.keeps(8, 1.16, 1.0)
    assert not plan.keeps(8, float("nan"), 1.0)
    assert not TrainingPlan.of(spec(kept_weights="best", max_epochs=8).hyperparameters, 1).keeps(8, 1.14, 1.0)


def test_the_last_weights_are_kept_where_the_schedule_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.learning.training.plan.LAST_TOLERANCE", 2.0)
    # At this rate the last of eight epochs is worse than the one before.
    given = {"learning_rate": 0.02, "schedule": "constant", "seed": 2}
    best, _ = run(spec(kept_weights="best", **given), tmp_path / "best")
    last, _ = run(spec(kept_weights="last", **given), tmp_path / "last")
    assert (best.manifest.training.best_epoch, last.manifest.training.best_epoch) == (7, 8)
    assert best.history == last.history
    state = load_file(tmp_path / "last" / STATE_FILE)
    kept = load(last.weights)
    assert all(torch.equal(kept[name], state[f"network/{name}"]) for name in kept)
    early, _ = run(spec(kept_weights="last", patience=1, max_epochs=12, **given), tmp_path / "early")
    assert (early.manifest.training.best_epoch, early.manifest.training.epochs) == (7, 8)
    assert early.weights == best.weights


def test_patience_stops_early(tmp_path: Path) -> None:
    model, events = run(spec(max_epochs=60, patience=3, learning_rate=0.03), tmp_path)
    assert len(events) < 60
    assert events[-1].epoch - model.manifest.training.best_epoch == 3


def test_a_diverging_run_says_so(tmp_path: Path) -> None:
    table = rocksalts()
    broken = TrainingTable(table.items, table.targets * 1e30, table.row_ids)
    job = spec(optimizer="sgd", learning_rate=10.0, schedule="constant", gradient_clip=0.0, loss="mse", scaling="none")
    identity = job.property.model_copy(update={"transform": Transform.IDENTITY})
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        run(job.model_copy(update={"property": identity}), tmp_path, table=broken)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return run(spec(seed=7), tmp_path_factory.mktemp("base"))[0]


CHANGED_PARTS = {
    Method.FINE_TUNE: {"embedding", "convolutions.0", "convolutions.1", "convolutions.2", "hidden", "output"},
    Method.FREEZE: {"hidden", "output"},
    Method.FREEZE_EARLY: {"convolutions.1", "convolutions.2", "hidden", "output"},
}


@pytest.mark.parametrize("method", sorted(CHANGED_PARTS))
def test_methods_change_what_they_say(method: Method, base: TrainedModel, tmp_path: Path) -> None:
    from safetensors.torch import load

    model, _ = run(spec(method, max_epochs=2), tmp_path, base)
    before, after = load(base.weights), load(model.weights)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {".".join(n.split(".")[:2]) if n.startswith("convolutions") else n.split(".")[0] for n in moved}
    assert parts == CHANGED_PARTS[method]
    assert model.manifest.parent is not None
    assert model.manifest.parent.weights_sha256 == base.manifest.weights_sha256


def test_the_same_property_keeps_the_base_models_scale_and_output(base: TrainedModel, tmp_path: Path) -> None:
    gentle = spec(Method.FINE_TUNE, max_epochs=1, learning_rate=1e-9)
    same, _ = run(gentle, tmp_path / "same", base)
    other_property = PropertyRecord.of(get_property("g_vrh"))
    other, _ = run(gentle.model_copy(update={"property": other_property}), tmp_path / "other", base)
    assert same.manifest.scaling == base.manifest.scaling
    assert other.manifest.scaling != base.manifest.scaling
    crystals = rocksalts().items
    wanted, kept, anew = (
        np.array(Predictor.from_bytes(m.manifest, m.weights).predict(crystals)) for m in (base, same, other)
    )
    # Not equal: an epoch of training moves the batch statistics.
    assert np.abs(kept - wanted).mean() < 0.3 * np.abs(anew - wanted).mean()


def test_the_papers_narrower_layer_replaces_the_base_models(base: TrainedModel, tmp_path: Path) -> None:
    model, _ = run(spec(Method.FINE_TUNE, max_epochs=1, preset="paper"), tmp_path, base)
    assert model.manifest.network["hidden_dim"] == 64
    assert model.manifest.scaling.kind == "tanh"


def test_transfer_without_a_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidJob, match="needs a base model"):
        run(spec(Method.FINE_TUNE), tmp_path)


def test_a_base_of_another_architecture_is_refused(base: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidJob, match="cgcnn model, not elemnet"):
        run(spec(Method.FINE_TUNE, Architecture.ELEMNET), tmp_path, base)


def test_freezing_more_convolutions_than_there_are_is_refused(base: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(InvalidJob, match="3 convolutions"):
        run(spec(Method.FREEZE_EARLY, frozen_convolutions=9), tmp_path, base)


def test_elemnet_trains_and_fine_tunes_on_compositions(tmp_path: Path) -> None:
    source = rocksalts()
    compositions = TrainingTable([parse_composition(r) for r in source.row_ids], source.targets, source.row_ids)
    scratch, _ = run(spec(architecture=Architecture.ELEMNET, max_epochs=2), tmp_path / "a", table=compositions)
    tuned, _ = run(spec(Method.FINE_TUNE, Architecture.ELEMNET, max_epochs=2), tmp_path / "b", scratch, compositions)
    assert tuned.manifest.input_kind == "composition"
    value = Predictor.from_bytes(tuned.manifest, tuned.weights).predict([parse_composition("NaCl")])[0]
    assert isinstance(value, float)
    assert value > 0


def test_rows_that_cannot_be_used_are_counted_and_too_few_refused(tmp_path: Path) -> None:
    lone = Crystal(np.eye(3) * 30.0, np.zeros((1, 3)), np.array([54]))
    table = rocksalts()
    with_lone = TrainingTable([*table.items, lone], np.append(table.targets, 1.0), [*table.row_ids, "lone"])
    model, _ = run(spec(max_epochs=1), tmp_path, table=with_lone)
    assert model.manifest.training.filters == ["1 rows left out: isolated_atom"]
    few = TrainingTable(table.items[:5], table.targets[:5], table.row_ids[:5])
    with pytest.raises(InvalidJob, match="Only 5 rows"):
        run(spec(max_epochs=1), tmp_path, table=few)


@pytest.mark.parametrize(("label", "words"), [(0.0, "positive"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_labels_that_cannot_be_learned_are_refused(tmp_path: Path, label: float, words: str) -> None:
    table = rocksalts()
    targets = table.targets.copy()
    targets[3] = label
    with pytest.raises(InvalidJob, match=words):
        run(spec(max_epochs=1), tmp_path, table=TrainingTable(table.items, targets, table.row_ids))


def test_evaluation_batches_keep_the_order_and_the_budget(base: TrainedModel) -> None:
    samples, _ = make_samples(rocksalts().items, GraphSettings())
    batches = list(evaluation_batches(samples, int(samples.costs[0]) * 5))
    assert np.concatenate(batches).tolist() == list(range(len(samples)))
    assert max(samples.costs[batch].sum() for batch in batches) <= samples.costs[0] * 5
    assert [len(batch) for batch in evaluation_batches(samples, 1)] == [1] * len(samples)


def test_elements_of_the_training_rows_are_recorded(base: TrainedModel) -> None:
    assert "Na" in base.manifest.elements
    assert "Ti" not in base.manifest.elements


def test_hyperparameters_are_filled_and_kept() -> None:
    for info in METHODS:
        for architecture in info.architectures:
            used = fields_used(architecture, info.name)
            for preset in ("default", "paper") if "preset" in used else (None,):
                given = Hyperparameters(train_fraction=0.5, preset=preset)
                resolved = resolve_hyperparameters(architecture, info.name, given, 1000)
                filled = {name for name, value in resolved.model_dump().items() if value is not None}
                assert filled == set(used)
                assert (resolved.train_fraction, resolved.preset) == (0.5, preset)
    with pytest.raises(InvalidJob, match="On offer: scratch, fine_tune, freeze"):
        resolve_hyperparameters(Architecture.ELEMNET, Method.FREEZE_EARLY, Hyperparameters(), 100)
    with pytest.raises(InvalidJob, match=r"'lasso' does not use learning_rate, loss\. It uses preset, scaling"):
        resolve_hyperparameters(Architecture.BASELINE, Method.LASSO, Hyperparameters(learning_rate=1, loss="mse"), 100)
    with pytest.raises(InvalidJob, match="'schnet-1' is no cgcnn network"):
        resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(network="schnet-1"), 100)
    given = Hyperparameters(train_fraction=0.9, val_fraction=0.2)
    with pytest.raises(InvalidJob, match="sum must be below 1"):
        resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, given, 100)


def test_the_last_weights_are_the_default_where_they_were_measured_to_be_better() -> None:
    def kept(architecture: Architecture, method: Method = Method.SCRATCH, **given: object) -> str | None:
        return resolve_hyperparameters(architecture, method, Hyperparameters.model_validate(given), 500).kept_weights

    assert kept(Architecture.CGCNN) == kept(Architecture.CGCNN, Method.FINE_TUNE) == "last"
    assert kept(Architecture.CGCNN, schedule="constant") == "best"
    assert kept(Architecture.CGCNN, schedule="constant", kept_weights="last") == "last"
    assert kept(Architecture.CGCNN, preset="paper") == kept(Architecture.SCHNET) == kept(Architecture.ELEMNET) == "best"


def test_a_schnet_that_knows_the_property_is_changed_more_gently() -> None:
    for method in (Method.TL1, Method.TL2, Method.TL3):
        same, other = (
            resolve_hyperparameters(Architecture.SCHNET, method, Hyperparameters(), 500, is_same_property=is_same)
            for is_same in (True, False)
        )
        assert same.learning_rate and other.learning_rate
        assert same.learning_rate < other.learning_rate
        assert same == other.model_copy(update={"learning_rate": same.learning_rate})
    paper = Hyperparameters(preset="paper")
    assert resolve_hyperparameters(Architecture.SCHNET, Method.TL1, paper, 500, is_same_property=True) == (
        resolve_hyperparameters(Architecture.SCHNET, Method.TL1, paper, 500)
    )


def test_the_papers_preset_is_the_papers_table_s1() -> None:
    scratch = resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(preset="paper"), 750)
    tuned = resolve_hyperparameters(Architecture.CGCNN, Method.FINE_TUNE, Hyperparameters(preset="paper"), 750)
    assert (scratch.optimizer, scratch.batch_size, scratch.learning_rate, scratch.hidden_dim) == ("sgd", 256, 0.01, 128)
    assert (tuned.learning_rate, tuned.hidden_dim, tuned.max_epochs, tuned.scaling) == (0.005, 64, 500, "tanh")


def test_schedules() -> None:
    values = resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(), 750)
    plan = TrainingPlan.of(values, 0)
    rates = [learning_rate_at(plan, step, 10) for step in range(plan.max_epochs * 10)]
    assert max(rates) == pytest.approx(plan.learning_rate, rel=1e-3)
    assert rates[-1] < 1e-3 * plan.learning_rate
    paper = TrainingPlan.of(
        resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(preset="paper"), 750), 0
    )
    assert [learning_rate_at(paper, s, 1) for s in (0, 99, 100)] == pytest.approx([0.01, 0.01, 0.001])
    assert learning_rate_at(replace(paper, rate_decay=10.0), 100, 1) == pytest.approx(0.1)


def test_a_job_that_waited_for_an_update_is_the_run_it_was(tmp_path: Path) -> None:
    """Its hyperparameters were filled in before there were these."""
    now = spec()
    before = now.hyperparameters.model_copy(update={"members": None, "rate_decay": None})
    keys = {
        open_run(
            rocksalts(), now.model_copy(update={"hyperparameters": each}), None, None, tmp_path, lambda _: None,
            lambda: False,
        ).run_key
        for each in (now.hyperparameters, before)
    }  # fmt: skip
    assert len(keys) == 1
    assert TrainingPlan.of(before, 1) == TrainingPlan.of(now.hyperparameters, 1)


def test_a_perovskite_model_says_what_it_cannot_use(base: TrainedModel) -> None:
    predictor = Predictor.from_bytes(base.manifest, base.weights)
    good, bad, also_good = predictor.predict(
        [perovskite(3.905, "Sr", "Ti", "O"), parse_composition("SrTiO3"), rocksalt(5.64, "Na", "Cl")]
    )
    assert isinstance(good, float)
    assert isinstance(also_good, float)
    assert getattr(bad, "code", None) == "input_kind_mismatch"


@pytest.mark.parametrize(("n_rows", "batch_size"), [(9_999, 64), (10_000, 256)])
def test_elemnet_takes_larger_batches_of_many_rows(n_rows: int, batch_size: int) -> None:
    nothing = Hyperparameters()
    chosen = resolve_hyperparameters(Architecture.ELEMNET, Method.FINE_TUNE, nothing, n_rows)
    assert chosen.batch_size == batch_size
    scratch = resolve_hyperparameters(Architecture.ELEMNET, Method.SCRATCH, nothing, n_rows)
    assert chosen.learning_rate is not None and scratch.learning_rate is not None
    # Of few rows another property is to be unlearned; of the same one little is to be changed.
    assert (chosen.learning_rate < scratch.learning_rate) == (n_rows >= 10_000)
    same = resolve_hyperparameters(Architecture.ELEMNET, Method.FINE_TUNE, nothing, n_rows, is_same_property=True)
    assert same.learning_rate is not None and same.learning_rate < scratch.learning_rate
    given = resolve_hyperparameters(
        Architecture.ELEMNET, Method.FINE_TUNE, Hyperparameters(batch_size=100), n_rows
    )  # fmt: skip
    assert given.batch_size == 100
    paper = resolve_hyperparameters(
        Architecture.ELEMNET, Method.FINE_TUNE, Hyperparameters(preset="paper"), n_rows
    )  # fmt: skip
    assert paper.batch_size == 32
