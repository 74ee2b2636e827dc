"""Every training makes a model that knows its errors, from rows it was not trained on."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from app.core.errors import ArtifactCorrupt
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.predictor import Estimate, Predictor
from app.learning.presets import resolve_hyperparameters
from app.learning.training_job import TrainedModel, TrainingSpec, TrainingTable, train_model
from app.learning.trust.file import load_trust, trust_to_bytes
from app.predictions.answers import domain_of, interval_of
from app.properties.catalogue import get_property
from app.registry.card import render_card
from app.registry.manifest import Architecture, Manifest, PropertyRecord
from app.structures.composition import parse_composition
from app.structures.formula import Composition

CATIONS = (
    "Li",
    "Na",
    "K",
    "Rb",
    "Cs",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Sc",
    "Ti",
    "V",
    "Cr",
    "Mn",
    "Fe",
    "Co",
    "Ni",
    "Cu",
    "Zn",
)
ANIONS = ("F", "Cl", "Br", "O", "S", "Se", "N")


def compounds(n: int) -> list[Composition]:
    formulas = [f"{c}{i}{a}{j}" for i in (1, 2, 3) for j in (1, 2) for c in CATIONS for a in ANIONS]
    return [parse_composition(formula) for formula in np.random.default_rng(0).permutation(formulas)[:n]]


def train(
    n: int, folder: Path, method: Method = Method.PLS, key: str = "k_vrh", same_formula: bool = False, **changes: object
) -> TrainedModel:
    """Bulk moduli that the anion decides, but for 12 %."""
    items = [parse_composition("SiO2")] * n if same_formula else compounds(n)
    random = np.random.default_rng(1)
    anions = [next(anion for anion in ANIONS if anion in item.amounts) for item in compounds(n)]
    logs = np.array([1.5 + 0.2 * ANIONS.index(anion) for anion in anions])
    labels = 10.0 ** (logs + 0.05 * random.normal(size=n))
    architecture = Architecture.ELEMNET if method is Method.SCRATCH else Architecture.BASELINE
    given = Hyperparameters.model_validate(changes)
    spec = TrainingSpec(
        name="moduli", method=method, architecture=architecture, property=PropertyRecord.of(get_property(key)), seed=3,
        hyperparameters=resolve_hyperparameters(architecture, method, given, n), dataset_name="made up",
    )  # fmt: skip
    table = TrainingTable(items, labels, [str(i) for i in range(n)])
    return train_model(table, spec, None, None, folder, lambda _: None, lambda: False)


def estimates(model: TrainedModel, items: list[Composition]) -> list[Estimate]:
    manifest = Manifest.model_validate_json(model.manifest.model_dump_json())
    found = Predictor.from_bytes(manifest, model.weights, model.trust).estimate(items)
    return [each for each in found if isinstance(each, Estimate)]


@pytest.mark.parametrize("method", [Method.PLS, Method.SCRATCH])
def test_both_kinds_of_training_calibrate(method: Method, tmp_path: Path) -> None:
    few = {} if method is Method.PLS else {"max_epochs": 3}
    model = train(300, tmp_path, method, **few)
    known = model.manifest.trust
    assert known is not None and model.trust is not None
    assert known.size_bytes == len(model.trust) and known.n_reference == model.manifest.training.n_train
    assert known.n_calibration == model.manifest.training.n_test
    assert known.coverage is not None and 0.75 <= known.coverage.share <= 1.0
    assert "each formula weighs the same" in known.calibrated_on
    assert "intervals of level 0.9 hold" in render_card(model.manifest)
    for estimate in estimates(model, compounds(20)):
        assert estimate.assessment is not None
        ends = estimate.assessment.interval(0.9)
        assert ends is not None and 0 < ends[0] <= estimate.value <= ends[1]
        # Made on the scale of log10: above reaches farther than below.
        assert ends[1] - estimate.value > estimate.value - ends[0]


def test_the_same_training_gives_the_same_file(tmp_path: Path) -> None:
    first, second = (train(60, tmp_path / name) for name in "ab")
    assert first.trust == second.trust and first.trust is not None
    trust = load_trust(first.manifest, first.trust)
    assert trust_to_bytes(trust) == first.trust
    record = first.manifest.training
    assert len(trust.held_out.formulas) == record.n_val + record.n_test
    assert not set(trust.held_out.formulas) & set(trust.reference.formulas)


def test_few_rows_allow_low_levels_only_and_say_so(tmp_path: Path) -> None:
    model = train(40, tmp_path, Method.SCRATCH, max_epochs=2)
    known = model.manifest.trust
    assert known is not None and "validation rows chose the epoch" in known.calibrated_on
    record = model.manifest.training
    assert known.n_calibration == record.n_val + record.n_test < 20
    unchosen = train(40, tmp_path / "last", Method.SCRATCH, max_epochs=2, kept_weights="last").manifest.trust
    assert unchosen is not None and "test rows and" in unchosen.calibrated_on
    assert "chose the epoch" not in unchosen.calibrated_on
    (estimate,) = estimates(model, compounds(1))
    interval, notes = interval_of(estimate.assessment, 0.9, model.manifest)
    assert interval is not None and notes == []
    interval, notes = interval_of(estimate.assessment, 0.99, model.manifest)
    assert interval is None and "speak for levels up to 0.9" in notes[0]


def test_rows_of_a_random_split_count_one_by_one(tmp_path: Path) -> None:
    model = train(100, tmp_path, split="random")
    known = model.manifest.trust
    assert known is not None and "drawn at random" in known.calibrated_on
    assert known.highest_level == pytest.approx(known.n_calibration / (known.n_calibration + 1))


@pytest.mark.parametrize("method", [Method.RANDOM_FOREST, Method.SCRATCH])
def test_polymorphs_of_one_formula_have_intervals(method: Method, tmp_path: Path) -> None:
    few = {"max_epochs": 2} if method is Method.SCRATCH else {"preset": "paper"}
    model = train(48, tmp_path, method, same_formula=True, split="random", **few)
    (estimate,) = estimates(model, [parse_composition("SiO2")])
    interval, _ = interval_of(estimate.assessment, 0.5, model.manifest)
    assert interval is not None and 0 < interval.lower <= estimate.value <= interval.upper < np.inf
    assert estimate.assessment is not None and np.isfinite(estimate.assessment.difficulty)


def test_what_is_far_from_the_training_data_is_told(tmp_path: Path) -> None:
    model = train(300, tmp_path)
    near, far = estimates(model, [parse_composition("MgO"), parse_composition("U3Pt2W")])
    assert near.assessment is not None and far.assessment is not None
    assert near.assessment.in_domain and far.assessment.score > 1.5
    assert far.assessment.difficulty >= near.assessment.difficulty
    told = domain_of([], far.assessment)
    assert told is not None and not told.in_domain and "times as far" in told.reason
    unseen = domain_of(["U", "W"], far.assessment)
    assert unseen is not None and unseen.reason == "element(s) U, W not in the training data"
    assert [n.formula for n in near.assessment.neighbours(3)] != [n.formula for n in far.assessment.neighbours(3)]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    model = train(60, tmp_path)
    assert model.trust is not None
    with pytest.raises(ArtifactCorrupt, match="sha256 differs"):
        Predictor.from_bytes(model.manifest, model.weights, model.trust[:-1] + b"x")


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("labels", np.ones(3), "labels"),
        ("matrix", np.ones(4, dtype=np.float32), "matrix has 1 dimensions"),
        ("numbers", np.array([0.0, -1.0, 0.0, 1.0]), "out of range"),
        ("shares", np.ones(2), "shares"),
        ("held_out_features", np.ones((3, 2), dtype=np.float16), "held-out rows do not fit each other"),
    ],
)
def test_parts_that_do_not_fit_are_refused(name: str, changed: Any, reason: str, tmp_path: Path) -> None:
    model = train(60, tmp_path)
    assert model.trust is not None and model.manifest.trust is not None
    content = safetensors.numpy.save({**safetensors.numpy.load(model.trust), name: changed})
    known = model.manifest.trust.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(ArtifactCorrupt, match=reason):
        load_trust(model.manifest.model_copy(update={"trust": known}), content)
