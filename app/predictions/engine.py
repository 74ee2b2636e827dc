"""What predictions need of the numerical code, said without importing it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from app.core.errors import XtalforgeError
from app.learning.featurising import FeaturisedCrystal
from app.registry.artifact import Artifact
from app.structures.crystal import Crystal
from app.structures.formula import Composition

ModelItem = Crystal | Composition
EngineInput = Crystal | Composition | FeaturisedCrystal
LoadModel = Callable[[], Artifact]


class Neighbour(Protocol):
    """A training row: `distance` in the representation, in spreads of the training data, `label` in the unit."""

    @property
    def formula(self) -> str: ...

    @property
    def distance(self) -> float: ...

    @property
    def label(self) -> float: ...


class Assessment(Protocol):
    """How far a prediction can be trusted. `score` is 1 at the limit of what is like the training data."""

    @property
    def score(self) -> float: ...

    @property
    def in_domain(self) -> bool: ...

    def interval(self, level: float) -> tuple[float, float] | None:
        """Lower and upper end in the unit; None for a level that too few rows speak for."""
        ...

    def neighbours(self, k: int) -> Sequence[Neighbour]:
        """The k nearest training rows that go with the model, nearest first."""
        ...


class Estimate(Protocol):
    """A value in the property's unit; no assessment: the model does not tell how far it can be trusted."""

    @property
    def value(self) -> float: ...

    @property
    def assessment(self) -> Assessment | None: ...


class Embedded(Protocol):
    """Features of one input. `atoms` are element, share of the cell's atoms and contribution to the value."""

    @property
    def vector(self) -> list[float]: ...

    @property
    def atoms(self) -> list[tuple[str, float, float]] | None: ...


class InferenceEngine(Protocol):
    """Runs models; thread-safe, keeps the loaded ones by `key`."""

    @property
    def n_loaded(self) -> int:
        """Models in memory."""
        ...

    def predict(self, key: str, load: LoadModel, items: Sequence[EngineInput]) -> Sequence[Estimate | XtalforgeError]:
        """One estimate or error per item; `load` is called when `key` is not held."""
        ...

    def embed(
        self, key: str, load: LoadModel, items: Sequence[EngineInput], *, contributions: bool
    ) -> Sequence[Embedded | XtalforgeError]:
        """Features or error per item. Raises NoContributions where they are wanted of a model that has none."""
        ...
