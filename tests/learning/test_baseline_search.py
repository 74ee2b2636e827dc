"""Hyperparameters are chosen on held-out folds, watchably, repeatably, and what cannot be fitted is said."""

import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from app.core.errors import InvalidJob
from app.learning.baselines import model_search
from app.learning.baselines.factory import build_baseline
from app.learning.baselines.families import Family
from app.learning.baselines.fitting import SearchBudget, described, fit_baseline
from app.learning.baselines.kernel_models import RbfKernelSettings
from app.learning.baselines.methods import Baseline, candidates, final_parameters
from app.learning.baselines.model_search import search_models
from app.learning.baselines.search import VectorProblem, Watch, cross_validate, make_folds
from app.learning.checkpoints import network_to_bytes
from app.learning.descriptors.catalogue import Descriptor, describe
from app.learning.descriptors.soap import SoapSettings
from app.learning.training.loop import TrainingStopped
from app.structures.detect import StructureFormat
from app.structures.reader import read_structures

SMALL = SearchBudget(n_folds=3, n_trials=9, max_seconds=600.0)
VECTOR_METHODS = [method for method in Baseline if method is not Baseline.SOAP_RIDGE]


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code, smaller forests."""
    for name, value in (("_COMPARED_TREES", 8), ("_FINAL_TREES", 20), ("_BOOSTED_TREES", 60)):
        monkeypatch.setattr(f"app.learning.baselines.methods.{name}", value)
    monkeypatch.setattr("app.learning.baselines.model_search._TREES", 8)
    monkeypatch.setattr("app.learning.baselines.model_search._BOOSTED_TREES", (20, 60))
    starts = model_search._STARTS
    boosted = starts[Family.GRADIENT_BOOSTING] | {"n_estimators": 40}
    monkeypatch.setitem(starts, Family.GRADIENT_BOOSTING, boosted)


def table(n_rows: int = 60, n_features: int = 6) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    features = random.normal(size=(n_rows, n_features)).astype(np.float32)
    targets = features[:, 0] - 0.5 * features[:, 1] + 0.05 * random.normal(size=n_rows)
    return features, (targets - targets.mean()) / targets.std()


def test_folds_cover_every_row_once_and_keep_formulas_together() -> None:
    groups = [f"formula-{index % 13}" for index in range(50)]
    folds = make_folds(50, 5, 0, groups)
    assert sorted(np.concatenate([held_out for _, held_out in folds]).tolist()) == list(range(50))
    for train, held_out in folds:
        assert not set(train) & set(held_out)
        assert not {groups[row] for row in train} & {groups[row] for row in held_out}
    first, other = make_folds(50, 5, 0, None), make_folds(50, 5, 1, None)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_too_few_formulas_are_refused() -> None:
    with pytest.raises(InvalidJob, match="1 formulas"):
        make_folds(20, 5, 0, ["SiO2"] * 20)
    with pytest.raises(InvalidJob, match="at least 4 rows"):
        make_folds(3, 5, 0, None)
    assert len(make_folds(20, 5, 0, ["SiO2", "GeO2"] * 10)) == 2


def test_the_choice_is_the_best_on_held_out_rows() -> None:
    features, targets = table()
    problem = VectorProblem(Family.RIDGE, features, targets, 0)
    folds = make_folds(60, 5, 0, None)
    scores = cross_validate(problem, "ridge", [{"alpha": a} for a in (1e4, 1.0, 1e2)], folds, Watch())
    assert [score.parameters["alpha"] for score in scores] == [1.0, 100.0, 10000.0]
    by_hand = [np.abs(problem.fit({"alpha": 1.0}, t).predict(features[v]) - targets[v]).mean() for t, v in folds]
    assert scores[0].mae == pytest.approx(np.mean(by_hand)) and scores[0].std == pytest.approx(np.std(by_hand))


@pytest.mark.parametrize("method", VECTOR_METHODS)
def test_every_method_learns_and_reports(method: Baseline) -> None:
    features, targets = table()
    seen: list[tuple[int, int, str]] = []
    fitted = fit_baseline(method, features, targets, 0, budget=SMALL, watch=Watch(lambda *step: seen.append(step)))
    assert fitted.cv_mae == min(score.mae for score in fitted.scores) < 0.5
    predictions = fitted.model(torch.from_numpy(features)).numpy()
    assert np.abs(predictions - targets).mean() < 0.4
    assert fitted.model.settings.descriptor is method.descriptor()
    assert all(0 <= done <= total for done, total, _ in seen) and seen[-1][2].startswith("fit ")
    assert json.loads(json.dumps(described(fitted)))["family"] == fitted.family
    assert "scikit-learn" in fitted.software and ("optuna" in fitted.software) == method.is_model_search


def test_forests_of_few_rows_get_more_trees_in_the_end() -> None:
    grid = candidates(Baseline.RANDOM_FOREST, 500, 132)
    assert final_parameters(Family.RANDOM_FOREST, grid[0], 500)["n_estimators"] == 20
    assert final_parameters(Family.RANDOM_FOREST, grid[0], 5000) == grid[0]
    assert final_parameters(Family.LASSO, {"alpha": 1.0}, 500) == {"alpha": 1.0}


@pytest.mark.parametrize("method", [Baseline.LASSO, Baseline.AUTOML_FRACTIONS])
def test_one_seed_gives_one_model(method: Baseline) -> None:
    features, targets = table(40)
    results = [fit_baseline(method, features, targets, 5, budget=SMALL) for _ in range(2)]
    assert results[0].parameters == results[1].parameters and results[0].scores == results[1].scores
    assert network_to_bytes(results[0].model) == network_to_bytes(results[1].model)


@pytest.mark.parametrize("method", [Baseline.PLS, Baseline.AUTOML_ATTRIBUTES])
def test_a_stop_comes_between_two_fits(method: Baseline) -> None:
    features, targets = table()
    steps: list[int] = []
    watch = Watch(lambda done, _total, _text: steps.append(done), lambda: len(steps) >= 4)
    with pytest.raises(TrainingStopped):
        fit_baseline(method, features, targets, 0, budget=SMALL, watch=watch)
    assert len(steps) == 4


def test_the_clock_ends_a_search_but_never_before_one_model() -> None:
    features, targets = table()
    fitted = fit_baseline(Baseline.AUTOML_FRACTIONS, features, targets, 0, budget=SearchBudget(max_seconds=0.0))
    assert len(fitted.scores) == 1
    assert any("ended after 0 s" in note for note in fitted.notes)


def test_hopeless_models_end_early() -> None:
    features, targets = table()
    found = search_models(features, targets, make_folds(60, 4, 0, None), 30, 600.0, 0, 1, Watch())
    assert found.n_pruned > 0 and len(found.scores) + found.n_pruned == 30 and not found.out_of_time
    assert {score.family for score in found.scores} >= {"ridge", "lasso", "pls", "svr", "extra_trees"}
    assert found.scores[0].family in ("ridge", "lasso", "pls", "svr", "kernel_ridge")


def test_large_tables_are_searched_in_part_and_fitted_whole() -> None:
    features, targets = table(200)
    budget = SearchBudget(n_folds=2, n_trials=2, max_search_rows=50)
    fitted = fit_baseline(Baseline.AUTOML_FRACTIONS, features, targets, 0, [str(i) for i in range(200)], budget=budget)
    assert any("50 of 200 rows" in note for note in fitted.notes)


def test_what_cannot_be_fitted_is_said_before() -> None:
    features, targets = table()
    with pytest.raises(InvalidJob, match="at most 10000"):
        fit_baseline(Baseline.SVR, np.zeros((10_001, 2), dtype=np.float32), np.zeros(10_001), 0)
    targets[3] = np.nan
    with pytest.raises(InvalidJob, match="finite"):
        fit_baseline(Baseline.PLS, features, targets, 0)


@pytest.mark.parametrize("method", VECTOR_METHODS)
def test_very_small_and_constant_tables_give_a_model(method: Baseline) -> None:
    features, _ = table(6, 3)
    features[:, 1] = 2.0
    fitted = fit_baseline(method, features, np.full(6, 1.5), 0, budget=SearchBudget(n_trials=8))
    np.testing.assert_allclose(fitted.model(torch.from_numpy(features)).numpy(), 1.5, atol=1e-9)


def test_from_real_crystals_to_a_checkpoint_and_back(data_kit: Path) -> None:
    """Bulk moduli: every descriptor, a method each; better than the mean on rows that were not seen."""
    rows = pq.read_table(data_kit / "target_elastic_dejong2015_1181.parquet").slice(0, 160)
    crystals = [read_structures(text, StructureFormat.CIF, "a.cif")[0][1] for text in rows["cif"].to_pylist()]
    labels = np.log10(rows["K_VRH_GPa"].to_numpy())
    order = np.random.default_rng(0).permutation(160)
    train, test = order[:120], order[120:]
    targets = (labels - labels[train].mean()) / labels[train].std()
    formulas = rows["formula"].take(train).to_pylist()
    soap = SoapSettings(n_max=4, l_max=2)
    for method in (Baseline.PLS, Baseline.SOAP_RIDGE):
        described_rows, errors = describe(method.descriptor(), crystals, soap)
        assert errors == [None] * 160
        fitted = fit_baseline(method, described_rows[train], targets[train], 0, formulas, soap)
        model = build_baseline(json.loads(fitted.model.settings.model_dump_json()))
        model.load_state_dict(safetensors.torch.load(network_to_bytes(fitted.model)))
        predictions = model(torch.from_numpy(described_rows[test])).numpy()
        mean_error = np.abs(targets[test]).mean()
        assert np.abs(predictions - targets[test]).mean() < 0.6 * mean_error, method
        assert fitted.cv_mae < 0.6 * mean_error


def test_scikit_learn_and_optuna_are_imported_when_something_is_fitted_only() -> None:
    """What starts the API and what predicts with a fitted model must not pay for them."""
    modules = ["fitting", "factory", "methods", "model_search", "soap_ridge"]
    code = "import sys; " + "; ".join(f"import app.learning.baselines.{name}" for name in modules)
    code += "; import app.learning.descriptors.catalogue"
    code += "; sys.exit(any(name in sys.modules for name in ('sklearn', 'optuna', 'joblib')))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_descriptors_of_methods() -> None:
    read = {method.value: method.descriptor() for method in Baseline}
    assert read.pop("soap_krr") is Descriptor.SOAP
    assert read.pop("automl_ef") is Descriptor.ELEMENTAL_FRACTIONS
    assert read.pop("automl_pa") is Descriptor.PHYSICAL_ATTRIBUTES
    assert set(read.values()) == {Descriptor.MAGPIE}
    assert Baseline.SVR.descriptor("bonding") is Descriptor.BONDING
    assert Baseline.SOAP_RIDGE.descriptor(None) is Descriptor.SOAP


def test_further_columns_may_stand_beside_those_of_the_descriptor() -> None:
    features, targets = table()
    fitted = fit_baseline(Baseline.SVR, features, targets, 0, budget=SMALL, descriptor=Descriptor.BONDING)
    settings = fitted.model.settings
    assert isinstance(settings, RbfKernelSettings)
    assert (settings.descriptor, settings.n_features, settings.clip) == (Descriptor.BONDING, features.shape[1], 6.0)
    plain = fit_baseline(Baseline.SVR, features, targets, 0, budget=SMALL).model.settings
    assert isinstance(plain, RbfKernelSettings) and (plain.descriptor, plain.clip) == (Descriptor.MAGPIE, None)
