"""Exported modules answer as the scikit-learn models they come from, and survive as manifest settings + safetensors."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from sklearn.kernel_ridge import KernelRidge

from app.learning.baselines.factory import build_baseline, is_baseline
from app.learning.baselines.families import LINEAR, Family, Parameters, export, make_estimator, most_leaves
from app.learning.baselines.forest_model import MAX_FOREST_NODES, ForestModel
from app.learning.baselines.kernel_models import RbfKernelModel
from app.learning.baselines.search import VectorProblem
from app.learning.baselines.soap_ridge import SoapProblem, fitted_model, similarities, soap_support
from app.learning.checkpoints import network_to_bytes
from app.learning.descriptors.catalogue import Descriptor
from app.learning.descriptors.soap import SoapSettings, pad_rows
from app.learning.outputs import predict_outputs
from app.learning.samples import VectorSamples

CHOICES: list[tuple[Family, Parameters]] = [
    (Family.PLS, {"n_components": 3}),
    (Family.LASSO, {"alpha": 0.02}),
    (Family.RIDGE, {"alpha": 1.0}),
    (Family.SVR, {"C": 10.0, "gamma": 0.05, "epsilon": 0.02}),
    (Family.SVR, {"C": 10.0, "gamma": 0.05, "epsilon": 0.02, "clip": 1.5}),
    (Family.KERNEL_RIDGE, {"alpha": 0.01, "gamma": 0.05}),
    (Family.GAUSSIAN_PROCESS, {"length": 3.0, "clip": 6.0}),
    (Family.RANDOM_FOREST, {"n_estimators": 20, "max_features": 0.5, "min_samples_leaf": 1}),
    (Family.EXTRA_TREES, {"n_estimators": 20, "max_features": 0.5, "min_samples_leaf": 2}),
    (
        Family.GRADIENT_BOOSTING,
        {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 4, "subsample": 0.7, "max_features": 0.5},
    ),
]
by_family = pytest.mark.parametrize(
    ("family", "parameters"),
    CHOICES,
    ids=[f"{family} clipped" if "clip" in each else family for family, each in CHOICES],
)


NEEDS_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
on_each_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])


def table(n_rows: int = 200, n_features: int = 12) -> tuple[Any, Any]:
    """Features with ties and a constant column, as descriptors have; a curved target."""
    random = np.random.default_rng(7)
    features = random.normal(size=(n_rows, n_features)).astype(np.float32)
    features[:, 1] = np.round(features[:, 1])
    features[:, 2] = 5.0
    features[:, 3] *= 1000.0
    targets = np.sin(2 * features[:, 0]) + features[:, 1] + 1e-3 * features[:, 3] + 0.1 * random.normal(size=n_rows)
    return features, targets.astype(np.float64) + 4.0


def reloaded(model: torch.nn.Module) -> torch.nn.Module:
    """As a registry would: settings through JSON, weights through safetensors."""
    settings = json.loads(model.settings.model_dump_json())  # type: ignore[operator,union-attr]
    fresh = build_baseline(settings)
    fresh.load_state_dict(safetensors.torch.load(network_to_bytes(model)))
    return fresh


@pytest.mark.parametrize("choice", [each for each in CHOICES if each[0] in LINEAR], ids=lambda each: each[0].value)
def test_a_column_that_was_all_but_constant_leads_no_linear_model_astray(choice: tuple[Family, Parameters]) -> None:
    features, targets = table()
    features[:, 4] *= 1e-5
    features[199, 4] = 2.0
    fitted = VectorProblem(choice[0], features, targets, seed=1).fit(choice[1], np.arange(150))
    model = reloaded(export(choice[0], fitted.estimator, fitted.offset, Descriptor.MAGPIE))
    outputs = predict_outputs(model, VectorSamples(features), torch.device("cpu"))
    np.testing.assert_allclose(outputs, fitted.predict(features), rtol=0, atol=1e-6)
    assert abs(outputs[199] - targets[199]) < 3 * np.ptp(targets)


@on_each_device
@by_family
def test_a_module_answers_as_its_estimator(family: Family, parameters: Parameters, device: str) -> None:
    features, targets = table()
    fitted = VectorProblem(family, features, targets, seed=1).fit(parameters, np.arange(150))
    model = reloaded(export(family, fitted.estimator, fitted.offset, Descriptor.MAGPIE)).to(device)
    outputs = predict_outputs(model, VectorSamples(features), torch.device(device))
    np.testing.assert_allclose(outputs, fitted.predict(features), rtol=0, atol=1e-6)
    assert np.abs(outputs[150:] - targets[150:]).mean() < np.abs(targets - targets.mean()).mean()
    assert is_baseline(model) and not any(True for _ in model.parameters())


@by_family
def test_a_row_alone_is_answered_as_in_a_batch(family: Family, parameters: Parameters) -> None:
    features, targets = table(60)
    fitted = VectorProblem(family, features, targets, seed=1).fit(parameters, np.arange(60))
    model = export(family, fitted.estimator, fitted.offset, Descriptor.MAGPIE)
    rows = torch.from_numpy(features)
    together = model(rows)
    alone = torch.cat([model(row[None]) for row in rows])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-12)
    assert model(rows[:0]).shape == (0,) and together.dtype == torch.float64


@by_family
def test_the_same_seed_gives_the_same_bytes(family: Family, parameters: Parameters) -> None:
    features, targets = table(80)
    weights = []
    for n_threads in (1, 2):
        fitted = VectorProblem(family, features, targets, 3, n_threads).fit(parameters, np.arange(80))
        weights.append(network_to_bytes(export(family, fitted.estimator, fitted.offset, Descriptor.MAGPIE)))
    assert weights[0] == weights[1]


def test_a_row_far_from_all_others_is_clipped() -> None:
    features, targets = table()
    parameters: Parameters = {"C": 10.0, "gamma": 0.05, "epsilon": 0.02, "clip": 6.0}
    fitted = VectorProblem(Family.SVR, features, targets, seed=1).fit(parameters, np.arange(200))
    model = reloaded(export(Family.SVR, fitted.estimator, fitted.offset, Descriptor.BONDING))
    far, bound = features[:1].copy(), features[:1].copy()
    far[0, 0], bound[0, 0] = 1e6, features[:, 0].mean() + 6 * features[:, 0].std()
    answers = model(torch.from_numpy(np.concatenate([far, bound])))
    assert answers[0].item() == pytest.approx(answers[1].item(), abs=1e-5)
    assert answers[0].item() == pytest.approx(fitted.predict(far)[0], abs=1e-6)


def test_thresholds_at_the_very_edge() -> None:
    """A feature that equals a threshold, or is one float32 step off, goes the way scikit-learn sends it."""
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 3)).astype(np.float32)
    estimator = make_estimator(Family.EXTRA_TREES, {"n_estimators": 30}, 300, 0, 1).fit(
        features, random.normal(size=300)
    )
    thresholds = np.concatenate([tree.tree_.threshold for tree in estimator.estimators_])
    exact = thresholds.astype(np.float32)
    edges = np.concatenate([exact, np.nextafter(exact, np.float32(9)), np.nextafter(exact, np.float32(-9))])
    asked = np.stack([edges, np.roll(edges, 1), np.roll(edges, 2)], axis=1)
    model = export(Family.EXTRA_TREES, estimator, 0.0, Descriptor.MAGPIE)
    np.testing.assert_allclose(model(torch.from_numpy(asked)).numpy(), estimator.predict(asked), rtol=0, atol=1e-6)


def test_targets_may_be_large() -> None:
    """Where the target is not scaled, agreement is relative."""
    features, targets = table()
    for family, parameters in CHOICES:
        fitted = VectorProblem(family, features, 1e4 * targets, 1).fit(parameters, np.arange(200))
        model = export(family, fitted.estimator, fitted.offset, Descriptor.MAGPIE)
        np.testing.assert_allclose(model(torch.from_numpy(features)).numpy(), fitted.predict(features), rtol=1e-6)


def test_a_forest_stays_within_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 300 * (2 * most_leaves(300) - 1) <= MAX_FOREST_NODES
    features, targets = table(400)
    monkeypatch.setattr("app.learning.baselines.families.MAX_FOREST_NODES", 1000)
    fitted = VectorProblem(Family.RANDOM_FOREST, features, targets, 0).fit({"n_estimators": 20}, np.arange(400))
    model = export(Family.RANDOM_FOREST, fitted.estimator, fitted.offset, Descriptor.MAGPIE)
    assert isinstance(model, ForestModel) and model.settings.n_nodes <= 1000
    np.testing.assert_allclose(model(torch.from_numpy(features)).numpy(), fitted.predict(features), atol=1e-6)


@pytest.mark.parametrize(("buffer", "wrong"), [("successors", 10**6), ("roots", -1), ("feature", 12)])
def test_a_tree_that_points_nowhere_is_refused(buffer: str, wrong: int) -> None:
    features, targets = table(50)
    fitted = VectorProblem(Family.RANDOM_FOREST, features, targets, 0).fit({"n_estimators": 3}, np.arange(50))
    model = export(Family.RANDOM_FOREST, fitted.estimator, fitted.offset, Descriptor.MAGPIE)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state[buffer].view(-1)[0] = wrong
    with pytest.raises(RuntimeError, match="does not have"):
        build_baseline(model.settings.model_dump()).load_state_dict(state)


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings in ({"kind": "pickle"}, {"kind": "forest", "n_features": 3}, {"kind": "linear", "n_features": 0}):
        with pytest.raises(ValidationError):
            build_baseline({"descriptor": "magpie", **settings})
    with pytest.raises(ValidationError):
        build_baseline({"kind": "rbf_kernel", "descriptor": "magpie", "n_features": 1, "n_support": 10**9, "gamma": 1})


def test_a_support_vector_machine_without_support_answers_its_constant() -> None:
    features, _ = table(20)
    fitted = VectorProblem(Family.SVR, features, np.full(20, 3.0), 0).fit(
        {"C": 1.0, "gamma": 0.1, "epsilon": 0.5}, np.arange(20)
    )
    model = export(Family.SVR, fitted.estimator, fitted.offset, Descriptor.MAGPIE)
    assert isinstance(model, RbfKernelModel) and model.settings.n_support == 0
    np.testing.assert_allclose(reloaded(model)(torch.from_numpy(features)).numpy(), 3.0)


SOAP = SoapSettings(n_max=2, l_max=1)


def soap_table(n_rows: int = 40) -> tuple[Any, Any]:
    """Rows with one to six element pairs each, blocks together of length 1."""
    random = np.random.default_rng(5)
    rows = []
    for _ in range(n_rows):
        pairs = np.sort(random.choice(12, random.integers(1, 7), replace=False))
        blocks = random.normal(size=(pairs.size, SOAP.block_size)) + 1.0
        rows.append(np.column_stack([1000 + pairs, blocks / np.linalg.norm(blocks)]).astype(np.float32))
    return pad_rows(rows, SOAP), random.normal(size=n_rows)


def dense(rows: Any) -> Any:
    """All pairs side by side, (n, 12 * block_size), as the definition of the kernel has them."""
    vectors = np.zeros((rows.shape[0], 12, SOAP.block_size))
    for vector, row in zip(vectors, rows, strict=True):
        for entry in row[row[:, 0] >= 0]:
            vector[int(entry[0]) - 1000] = entry[1:]
    return vectors.reshape(rows.shape[0], -1)


def test_soap_similarities_are_scalar_products() -> None:
    rows, _ = soap_table()
    vectors = dense(rows)
    np.testing.assert_allclose(similarities(soap_support(rows[:30], SOAP), rows), vectors @ vectors[:30].T, atol=1e-12)


@on_each_device
def test_soap_ridge_is_scikit_learns(monkeypatch: pytest.MonkeyPatch, device: str) -> None:

    rows, targets = soap_table()
    support = soap_support(rows[:30], SOAP)
    own = similarities(support, rows[:30])
    model = reloaded(fitted_model(support, own, targets[:30], {"power": 3, "alpha": 0.01})).to(device)
    ridge = KernelRidge(alpha=0.01, kernel="polynomial", degree=3, gamma=1.0, coef0=0.0)
    ridge.fit(dense(rows[:30]), targets[:30] - targets[:30].mean())
    expected = ridge.predict(dense(rows)) + targets[:30].mean()
    asked = torch.from_numpy(rows).to(device)
    np.testing.assert_allclose(model(asked).cpu().numpy(), expected, atol=1e-6)
    monkeypatch.setattr("app.learning.baselines.kernel_models._MATCHES", 7)
    np.testing.assert_allclose(model(asked).cpu().numpy(), expected, atol=1e-6)
    assert model(asked[:0]).shape == (0,)


def test_soap_cross_validation_errors_are_those_of_a_model_without_the_fold() -> None:
    rows, targets = soap_table()
    train, held_out = np.arange(30), np.arange(30, 40)
    support = soap_support(rows, SOAP)
    parameters: Parameters = {"power": 2, "alpha": 0.1}
    errors = SoapProblem(similarities(support, rows), targets).errors(parameters, (train, held_out))
    part = soap_support(rows[train], SOAP)
    model = fitted_model(part, similarities(part, rows[train]), targets[train], parameters)
    predictions = model(torch.from_numpy(rows[held_out])).numpy()
    np.testing.assert_allclose(errors, np.abs(predictions - targets[held_out]), atol=1e-10)


def test_crystals_without_a_common_pair_get_the_mean() -> None:
    rows, targets = soap_table()
    support = soap_support(rows, SOAP)
    model = fitted_model(support, similarities(support, rows), targets, {"power": 1, "alpha": 1.0})
    stranger = torch.from_numpy(rows[:1].copy())
    stranger[:, :, 0] = torch.where(stranger[:, :, 0] >= 0, 9999.0, stranger[:, :, 0])
    assert model(stranger).item() == pytest.approx(targets.mean())


def test_a_block_of_a_foreign_crystal_is_refused() -> None:
    rows, _ = soap_table(5)
    model = soap_support(rows, SOAP)
    refuse = partial(build_baseline(model.settings.model_dump()).load_state_dict, model.state_dict())
    refuse()
    model.owners[0] = 5
    with pytest.raises(RuntimeError, match="does not have"):
        refuse()
