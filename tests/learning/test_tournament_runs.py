"""The method as a whole: what it makes of data, that it repeats and resumes, and what it never looks at."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import InvalidJob
from app.learning.baselines.families import Family
from app.learning.descriptors.catalogue import Descriptor
from app.learning.predictor import Estimate, Predictor
from app.learning.strategies import automatic
from app.learning.tournament import fitting, rounds
from app.learning.tournament.verdict import is_shown_to_help
from app.learning.training.loop import Trainer, TrainingStopped
from app.learning.training_job import TrainedModel, TrainingTable
from app.learning.transfer import Base
from app.registry.card import render_card
from app.registry.manifest import Architecture, InputKind, Manifest
from tests.learning.tournaments import Constant, compete, compositions, crystals, quick, source_model, table_of

__all__ = ["quick"]

pytestmark = pytest.mark.usefixtures("quick")
KINDS = [InputKind.STRUCTURE, InputKind.COMPOSITION]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[InputKind, Base]:
    return {kind: source_model(tmp_path_factory.mktemp(kind.value), kind) for kind in KINDS}


def search_of(model: TrainedModel) -> dict[str, object]:
    search = model.manifest.training.search
    assert search is not None
    return search


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_answers_and_repeats(kind: InputKind, sources: dict[InputKind, Base], tmp_path: Path) -> None:
    first, again = (compete(tmp_path / name, kind, sources=[sources[kind]]) for name in ("a", "b"))
    assert first.weights == again.weights
    assert compete(tmp_path / "c", kind, sources=[sources[kind]], seed=2).weights != first.weights
    manifest = Manifest.model_validate_json(first.manifest.model_dump_json())
    assert (manifest.architecture, manifest.input_kind) == (Architecture.ENSEMBLE, kind)
    assert (manifest.training.method, manifest.training.n_val) == ("auto", 0)
    table = table_of(kind)
    answers = Predictor.from_bytes(manifest, first.weights).predict([table.items[i] for i in first.test_rows])
    np.testing.assert_allclose(answers, first.test_predictions, rtol=2e-4, atol=1e-5)
    errors = np.abs(first.test_predictions - first.test_labels).mean()
    assert errors < 0.7 * np.abs(first.test_labels - np.median(table.targets)).mean()
    assert "auto" in render_card(manifest)


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_holds_together(kind: InputKind, sources: dict[InputKind, Base], tmp_path: Path) -> None:
    model = compete(tmp_path, kind, sources=[sources[kind]])
    search = model.manifest.training.search
    assert search is not None
    entrants, winner = search["entrants"], search["winner"]
    assert [e["mae_transformed"] for e in entrants] == sorted(e["mae_transformed"] for e in entrants)
    assert sum(e["weight"] for e in entrants) == pytest.approx(1.0)
    assert {e["name"]: e["weight"] for e in entrants if e["weight"]} == pytest.approx(winner["members"])
    assert all(len(e["fold_mae"]) == search["n_folds"] == 3 for e in entrants)
    assert winner["mae_transformed"] <= entrants[0]["mae_transformed"]
    assert search["n_rows"] == model.manifest.training.n_train == 40
    names = {e["name"] for e in entrants} | {left["name"] for left in search["left_out"]}
    assert ("source fine-tuned" in names) == ("CGCNN from scratch" in names) == (kind is InputKind.STRUCTURE)
    assert any("pretrained predictions" in name for name in names)
    assert (
        search["against_baseline"]["baseline"] in names and search["against_baseline"]["baseline"] in search["reason"]
    )
    curve = search["learning_curve"]
    assert [point["n_train"] for point in curve] == sorted(point["n_train"] for point in curve) and len(curve) == 4


def test_intervals_come_from_rows_that_were_not_seen(tmp_path: Path) -> None:
    """Eight test rows alone could not give any of level 0.9."""
    model = compete(tmp_path)
    trust = model.manifest.trust
    assert trust is not None and trust.n_calibration == 48 and trust.highest_level > 0.9
    predictor = Predictor.from_bytes(model.manifest, model.weights, model.trust)
    table, widths = compositions(), []
    for estimate in predictor.estimate(list(table.items)):
        assert isinstance(estimate, Estimate) and estimate.assessment is not None
        low, high = estimate.assessment.interval(0.9) or (0.0, 0.0)
        assert low < estimate.value < high
        widths.append(high - low)
    mae = model.manifest.training.search["winner"]["mae"]  # type: ignore[index]
    assert mae < np.mean(widths) < 20 * mae


@pytest.mark.parametrize("kind", KINDS)
def test_test_rows_take_no_part(kind: InputKind, tmp_path: Path) -> None:
    """Absurd labels of the test rows change neither the model nor its report, only its test errors."""
    clean = compete(tmp_path / "a", kind)
    poisoned = table_of(kind)
    targets = poisoned.targets.copy()
    targets[clean.test_rows] = 1e30
    dirty = compete(tmp_path / "b", kind, replace(poisoned, targets=targets))
    assert dirty.weights == clean.weights
    timed = {"seconds", "entrants"}
    assert {k: v for k, v in search_of(dirty).items() if k not in timed} == {
        k: v for k, v in search_of(clean).items() if k not in timed
    }
    assert dirty.manifest.metrics.test != clean.manifest.metrics.test


def networks_of_all_folds(model: TrainedModel) -> list[str]:
    """Only they are ranked; who did not get so far is among those left out."""
    entrants = search_of(model)["entrants"]
    assert isinstance(entrants, list)
    return [each["name"] for each in entrants if "constant" not in each["name"]]


def only_networks_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks play all folds, and what competes with them is about the mean."""
    constant = Constant("constant", Family.SVR, Descriptor.BONDING, is_cheap=True)
    monkeypatch.setattr(automatic, "regressors", lambda kind, n_rows, *, has_sources: [constant])
    monkeypatch.setattr(rounds, "HOPELESS", np.inf)
    monkeypatch.setattr(fitting, "MAX_EPOCHS", 10)


def test_a_small_source_is_fine_tuned_to_compositions_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_networks_learn(monkeypatch)
    constant = Constant("constant", Family.SVR, Descriptor.PHYSICAL_ATTRIBUTES, is_cheap=True)
    monkeypatch.setattr(automatic, "regressors", lambda kind, n_rows, *, has_sources: [constant])
    source = source_model(
        tmp_path / "s", InputKind.COMPOSITION, key="formation_energy_per_atom", max_epochs=30, widths=[32, 16]
    )
    model = compete(tmp_path / "run", sources=[source])
    assert networks_of_all_folds(model)[0] == "source fine-tuned"
    members = model.manifest.network["members"]
    assert [member["reads"] for member in members if member["label"] == "source fine-tuned"] == [
        "elemental_fractions"
    ] * 3
    predictor = Predictor.from_bytes(model.manifest, model.weights)
    table = compositions()
    values = predictor.predict([table.items[row] for row in model.test_rows])
    assert values == pytest.approx(model.test_predictions.tolist(), abs=1e-5)


@pytest.mark.parametrize("stopped_at", ["source fine-tuned, fold 1", "fold 3"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    stopped_at: str, sources: dict[InputKind, Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_networks_learn(monkeypatch)
    kind, source, told, epochs = InputKind.STRUCTURE, [sources[InputKind.STRUCTURE]], list[str](), list[int]()
    train_epoch = Trainer._train_epoch

    def counted(self: Trainer, epoch: int, should_stop: Callable[[], bool]) -> float:
        epochs.append(epoch)
        return train_epoch(self, epoch, should_stop)

    monkeypatch.setattr(Trainer, "_train_epoch", counted)
    whole = compete(tmp_path / "whole", kind, sources=source)
    n_epochs = len(epochs)
    # What starts from the source has half the epochs. One network from scratch and three of the source's compete.
    n_others = [10 if name == "CGCNN from scratch" else 5 for name in networks_of_all_folds(whole)]
    assert len(n_others) == 2 and n_epochs == (10 + 3 * 5) + 2 * sum(n_others), "two of four play all three folds"
    members = whole.manifest.training.search["winner"]["members"]  # type: ignore[index]
    assert any("CGCNN" in name or "fine-tuned" in name for name in members)
    with pytest.raises(TrainingStopped):
        compete(
            tmp_path / "parts", kind, sources=source,
            should_stop=lambda: any(text.endswith(stopped_at) and "constant" not in text for text in told),
            on_search=lambda event: told.append(event.text),
        )  # fmt: skip
    ended = compete(tmp_path / "parts", kind, sources=source)
    assert ended.weights == whole.weights
    assert search_of(ended)["winner"] == search_of(whole)["winner"]
    assert len(epochs) <= 2 * n_epochs + 1, "a fold that had ended was trained again"


def test_polymorphs_stay_on_one_side_of_every_cut(tmp_path: Path) -> None:
    """Each formula twice with labels that only its twin tells: whoever saw the twin would be right."""
    table, random = compositions(), np.random.default_rng(0)
    labels = random.normal(size=len(table.items))
    twice = TrainingTable([*table.items, *table.items], np.concatenate([labels, labels]), [str(i) for i in range(96)])
    by_formula = compete(tmp_path / "a", table=twice).manifest
    by_row = compete(tmp_path / "b", table=twice, split="random").manifest
    spread = float(np.abs(labels - np.median(labels)).mean())
    for manifest, sees_twins in ((by_formula, False), (by_row, True)):
        assert manifest.training.search is not None and manifest.metrics.test is not None
        best = manifest.training.search["winner"]["mae"]
        assert (best < 0.75 * spread) is sees_twins
        assert (manifest.metrics.test.mae < 0.75 * spread) is sees_twins


def test_labels_that_are_learned_as_logarithms(tmp_path: Path) -> None:
    table = crystals()
    table = replace(table, targets=np.exp(-table.targets))
    model = compete(tmp_path, InputKind.STRUCTURE, table)
    assert (model.test_predictions > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_data_set_there_may_be(kind: InputKind, tmp_path: Path) -> None:
    table = table_of(kind)
    rows = list(range(0, 40, 2))
    few = TrainingTable([table.items[i] for i in rows], table.targets[rows], [table.row_ids[i] for i in rows])
    model = compete(tmp_path, kind, few)
    assert model.manifest.metrics.test is not None and np.isfinite(model.manifest.metrics.test.mae)


def polymorphs(kind: InputKind, n_formulas: int) -> TrainingTable:
    """24 rows of so few formulas."""
    table = table_of(kind)
    rows = [number % n_formulas for number in range(24)]
    return TrainingTable([table.items[i] for i in rows], np.linspace(0, 1, 24), [str(i) for i in range(24)])


@pytest.mark.parametrize("kind", KINDS)
def test_few_formulas_are_refused_with_the_reason(kind: InputKind, tmp_path: Path) -> None:
    for n_formulas in (1, 2, 3):
        with pytest.raises(InvalidJob, match=r"too few different formulas|No model can be fitted to these rows"):
            compete(tmp_path / str(n_formulas), kind, polymorphs(kind, n_formulas))
    enough = compete(tmp_path / "enough", kind, polymorphs(kind, 5))
    assert np.isfinite(enough.test_predictions).all()


def test_a_model_that_predicts_the_property_already_has_to_be_beaten(tmp_path: Path) -> None:
    """A source that was trained on labels near the very same ones; and as useless a one as the others."""
    key, kind, random = "formation_energy_per_atom", InputKind.STRUCTURE, np.random.default_rng(0)
    noisy = replace(crystals(), targets=crystals().targets + random.normal(0.0, 0.3, 48))
    good = source_model(tmp_path / "good", kind, key=key, max_epochs=150)
    told = search_of(compete(tmp_path / "a", kind, noisy, [good]))
    assert told["is_better_than_baseline"] is False
    assert "than source" in str(told["reason"]) and "which predicts this property already" in str(told["reason"])
    assert told["against_known"]["gain"] < 0.1  # type: ignore[index]
    useless = source_model(tmp_path / "useless", kind, key=key)
    told = search_of(compete(tmp_path / "b", kind, crystals(), [useless]))
    assert told["against_known"]["gain"] > 0.5 and told["against_known"]["p_rows"] < 1e-3  # type: ignore[index]
    other = source_model(tmp_path / "other", kind)
    assert search_of(compete(tmp_path / "c", kind, crystals(), [other]))["against_known"] is None


def test_noise_is_not_shown_to_be_learned(tmp_path: Path) -> None:
    for seed in range(4):
        labels = np.random.default_rng(seed).normal(size=48)
        model = compete(tmp_path / str(seed), table=replace(compositions(), targets=labels), seed=seed)
        search = search_of(model)
        assert search["is_better_than_baseline"] is False
        assert "do not promote it" in str(search["reason"]) and not is_shown_to_help(model.manifest)
    learned = compete(tmp_path / "learned")
    assert search_of(learned)["against_median"]["p_rows"] < 1e-3  # type: ignore[index]
