"""Small tournaments of real parts: few rows, entrants with one choice of hyperparameters, networks of two epochs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from app.learning.baselines.families import Family, Parameters
from app.learning.hyperparameters import FeatureName, Hyperparameters
from app.learning.methods import Method
from app.learning.presets import resolve_hyperparameters
from app.learning.strategies import automatic
from app.learning.tournament import entrants, fitting
from app.learning.tournament.entrants import RegressorEntrant
from app.learning.tournament.fitting import Course
from app.learning.training_job import SearchEvent, TrainedModel, TrainingSpec, TrainingTable, open_run, train_model
from app.learning.transfer import Base
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, InputKind, PropertyRecord
from app.structures.composition import parse_composition
from tests.crystals import cscl, rocksalt, zincblende

CATIONS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba")
ANIONS = ("F", "Cl", "Br", "I", "O", "S")
PLENTY = 1e6
"""Seconds that no test needs: how a tournament ends does not depend on the machine's pace."""


@dataclass(frozen=True, slots=True)
class OneChoice(RegressorEntrant):
    """An entrant as it is, but for its grid: one choice, with few trees."""

    def candidates(self, n_features: int) -> list[Parameters]:
        if self.family is Family.SVR:
            return [{"C": 10.0, "gamma": 0.3 / n_features, "epsilon": 0.02}]
        if self.family in (Family.RIDGE, Family.GAUSSIAN_PROCESS):
            return RegressorEntrant.candidates(self, n_features)[:1]
        trees: Parameters = {"n_estimators": 10, "max_features": 0.33}
        return [trees | ({"learning_rate": 0.2} if self.family is Family.GRADIENT_BOOSTING else {})]


@dataclass(frozen=True, slots=True)
class Constant(RegressorEntrant):
    """Support vectors that may not learn: they answer about the mean."""

    def candidates(self, n_features: int) -> list[Parameters]:
        return [{"C": 1e-9, "gamma": 1.0, "epsilon": 0.1}]


def quick_regressors(kind: InputKind, n_rows: int, *, has_sources: bool) -> list[RegressorEntrant]:
    return [OneChoice(**asdict(each)) for each in entrants.regressors(kind, n_rows, has_sources=has_sources)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tournament in a second; import it to use it."""
    monkeypatch.setattr(automatic, "regressors", quick_regressors)
    monkeypatch.setattr(fitting, "MIN_EPOCHS", 2)
    monkeypatch.setattr(fitting, "MAX_EPOCHS", 2)


def crystals() -> TrainingTable:
    """48 binary crystals of 2 or 8 atoms with a smooth made-up energy in eV/atom."""
    pairs = [(a, x) for a in CATIONS for x in ANIONS]
    builders = (cscl, zincblende, rocksalt)
    items = [builders[i % 3](4.0 + 0.05 * i, a, x) for i, (a, x) in enumerate(pairs)]
    labels = np.array([-20.0 * crystal.n_sites / crystal.volume for crystal in items])
    return TrainingTable(items, labels, [f"{a}{x}" for a, x in pairs])


def compositions() -> TrainingTable:
    """The same rows without their structures, labelled by their elements."""
    names = [f"{a}{x}" for a in CATIONS for x in ANIONS]
    labels = np.array([0.1 * i - 0.3 * j for i in range(len(CATIONS)) for j in range(len(ANIONS))])
    return TrainingTable([parse_composition(name) for name in names], labels, names)


def table_of(kind: InputKind) -> TrainingTable:
    return crystals() if kind is InputKind.STRUCTURE else compositions()


def automatic_spec(kind: InputKind, seed: int = 1, n_rows: int = 48, **given: object) -> TrainingSpec:
    chosen = Hyperparameters.model_validate({"max_seconds": PLENTY, "n_folds": 3, **given})
    return TrainingSpec(
        name="mine", method=Method.AUTO, architecture=Architecture.ENSEMBLE,
        property=PropertyRecord.of(get_property("formation_energy_per_atom")), seed=seed,
        hyperparameters=resolve_hyperparameters(Architecture.ENSEMBLE, Method.AUTO, chosen, n_rows),
        dataset_name="binaries", data_kind=kind,
    )  # fmt: skip


def compete(
    folder: Path,
    kind: InputKind = InputKind.COMPOSITION,
    table: TrainingTable | None = None,
    sources: Sequence[Base] = (),
    seed: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
    on_search: Callable[[SearchEvent], None] = lambda _: None,
    **given: object,
) -> TrainedModel:
    """A whole run of the method."""
    spec, rows = automatic_spec(kind, seed, **given), table or table_of(kind)
    return train_model(rows, spec, None, None, folder, lambda _: None, should_stop, "cpu", on_search, sources)


def open_course(folder: Path, kind: InputKind = InputKind.COMPOSITION, **given: object) -> Course:
    """What entrants are given, three folds of 40 rows."""
    run = open_run(
        table_of(kind), automatic_spec(kind, **given), None, None, folder, lambda _: None, lambda: False, "cpu"
    )
    return automatic._course(run, None)


def source_model(
    folder: Path, kind: InputKind, name: str = "source", seed: int = 5, key: str = "band_gap", max_epochs: int = 1,
    features: FeatureName | None = None, **network: object,
) -> Base:  # fmt: skip
    """A network that has learned almost nothing, as a pretrained model; `network` is its shape where not the usual."""
    architecture = Architecture.CGCNN if kind is InputKind.STRUCTURE else Architecture.ELEMNET
    given = Hyperparameters(max_epochs=max_epochs, features=features)
    chosen = resolve_hyperparameters(architecture, Method.SCRATCH, given, 48)
    spec = TrainingSpec(
        name=name, method=Method.SCRATCH, architecture=architecture,
        property=PropertyRecord.of(get_property(key)), seed=seed, hyperparameters=chosen,
        dataset_name="binaries", network=network,
    )  # fmt: skip
    made = train_model(table_of(kind), spec, None, None, folder, lambda _: None, lambda: False)
    return made.manifest, made.weights
