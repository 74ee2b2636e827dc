"""What a reproduction of a paper consists of, as data: targets, systems, sources and the rows of each trial.

To add a paper: write a module with `make(quick: bool) -> Protocol`, name it in `MODULES`, and everything else (running,
resuming, storing, statistics, tables, figures, the command line) works. A protocol never trains anything itself: a
trial is its rows (`TrialData`) and a system (method, hyperparameters, source), and goes through
`app.learning.training_job.train_model` like any other training.

    class Oxides(Protocol):
        def data(self, target: Target, seed: int, kit: Path) -> TrialData: ...

    def make(quick: bool) -> Protocol:
        return Oxides(name="oxides", title=..., targets=(...), sources={...}, ...)

Rules that keep a comparison fair:

* All systems of a target and seed get the same rows and the same split; the runner refuses rows that a representation
  cannot take, and the report refuses to compare errors on unequal test rows.
* A system that has the same `line` with `strict` False and True stands in one line of the table, in the columns
  "as in the paper" and "strict" (no formula of the target's rows in the source). Without a source it counts for both.
* Whatever changes a result (resolved hyperparameters, source weights, data files, number of rows) is part of the key
  under which the result is stored, so a changed definition is measured anew and never mixed with the old one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from app.core.errors import NotFound
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.recipes import Recipe
from app.learning.splits import Split
from app.learning.tables import TrainingTable
from app.registry.manifest import Architecture

MODULES: dict[str, str] = {
    "tl-cgcnn": "app.reproduction.tl_cgcnn",
    "schnet-tl": "app.reproduction.schnet_tl",
    "tlrl": "app.reproduction.tlrl",
}
"""Protocols on offer: name -> module."""


class ProtocolNotFound(NotFound):
    code, title = "protocol_not_found", "No such paper"


@dataclass(frozen=True, slots=True)
class Published:
    """A figure of the paper: mean and standard deviation over its trials, where it states them."""

    mean: float
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of a trial; `key` names it in `SplitMetrics`: `mae`, `mae_transformed`, `within_chemical_accuracy`."""

    key: str
    label: str
    unit: str
    decimals: int = 3
    lower_is_better: bool = True


@dataclass(frozen=True, slots=True)
class System:
    """What is trained in a trial.

    `line` is its name in tables. `hyperparameters` are as a user gives them; the preset fills the rest. `source` names
    one of the protocol's sources for methods that start from a base model, `strict` says that it has seen no formula
    of the target. `network` are settings of a network from scratch that differ from those of its preset. `candidates`
    name the sources that the method `auto` may use.
    """

    line: str
    method: Method
    architecture: Architecture
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    source: str | None = None
    strict: bool = False
    network: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[str, ...] = ()

    @property
    def knows_more(self) -> bool:
        """Whether other data than the target's rows stand behind it."""
        return self.source is not None or bool(self.candidates)


@dataclass(frozen=True, slots=True)
class Target:
    """A property to be learned from so many rows, and what the paper got.

    `measures`: the first is that of p-values and figures. `published` maps measure key, then line, to the paper's
    figure. `references` are lines that all others are tested against (paired t-test over trials). Targets of one
    `series` differ in the number of rows only: they make a curve of error against size. `is_cross_validation`: a seed
    is a fold, and there are no more.
    """

    name: str
    property_key: str
    n_train: int
    n_val: int
    n_test: int
    n_trials: int
    files: tuple[str, ...]
    systems: tuple[System, ...]
    measures: tuple[Measure, ...]
    published: Mapping[str, Mapping[str, Published]] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    series: str = ""
    note: str = ""
    is_cross_validation: bool = False

    @property
    def n_rows(self) -> int:
        return self.n_train + self.n_val + self.n_test


@dataclass(frozen=True, slots=True)
class TrialData:
    """The rows of a trial and which of them train, validate and test.

    Equal `name`s mean equal tables: what is featurised is kept by that name. Every row must be one that all systems
    can read.
    """

    name: str
    table: TrainingTable
    split: Split


@dataclass(frozen=True, slots=True)
class Source:
    """A model to start from: a version that comes with the package (NAME/VERSION), or one that `--source` trains.

    The recipe is made from the data kit's folder, since which formulas are left out may depend on the data; it has the
    source's own name. It is a function of a module or a partial of one, since protocols go to other processes. `note`
    stands in the report.
    """

    shipped: str | None = None
    recipe: Callable[[Path], Recipe] | None = None
    note: str = ""


@dataclass(frozen=True)
class Protocol(ABC):
    """The systems and rows of a paper. `notes` are printed above the tables: what differs from the paper and why."""

    name: str
    title: str
    citation: str
    targets: tuple[Target, ...]
    sources: Mapping[str, Source]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def data(self, target: Target, seed: int, kit: Path) -> TrialData:
        """The rows of a trial; the same for the same target, seed and files in `kit`. `seed` counts from 0."""
        ...


def protocol_names() -> list[str]:
    return list(MODULES)


def get_protocol(name: str, quick: bool = False) -> Protocol:
    """Raises ProtocolNotFound naming the ones there are. `quick`: few epochs, few rows, to see that all of it runs."""
    if name not in MODULES:
        raise ProtocolNotFound(f"There is no protocol {name!r}. On offer: {', '.join(MODULES)}.")
    made = import_module(MODULES[name]).make(quick)
    assert isinstance(made, Protocol)
    return made


QUICK_EPOCHS = 2
"""Epochs of networks in a quick run."""
QUICK_SEARCHES = 2
"""Models that a model search compares in a quick run."""
QUICK_TOURNAMENT_S = 10.0
"""Seconds that a tournament of methods has in a quick run."""


def quickly(system: System) -> System:
    """The same system in seconds: for `make(quick=True)`."""
    short: dict[str, float]
    if system.method is Method.AUTO:
        short = {"max_seconds": QUICK_TOURNAMENT_S}
    elif system.architecture is not Architecture.BASELINE:
        short = {"max_epochs": QUICK_EPOCHS}
    elif system.method in (Method.AUTOML_FRACTIONS, Method.AUTOML_ATTRIBUTES):
        short = {"n_trials": QUICK_SEARCHES}
    else:
        return system
    return replace(system, hyperparameters=system.hyperparameters.model_copy(update=short))
