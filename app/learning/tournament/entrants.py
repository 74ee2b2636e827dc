"""Who takes part when the method is chosen automatically: regressors on descriptors, and networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from app.learning.baselines.families import FARTHEST, KERNELS, Family, Parameters
from app.learning.descriptors.catalogue import VECTOR_NAMES, Descriptor
from app.learning.graphs.settings import GraphSettings
from app.learning.methods import Method
from app.learning.networks.ensemble_settings import GRAPH
from app.learning.representations import ELEMENTAL_FRACTIONS, Composite, Described, representation_of
from app.learning.transfer import Base
from app.registry.manifest import Architecture, InputKind

MAX_KERNEL_ROWS = 4000
"""A kernel machine takes time with the cube of its rows: beyond, trees do as well in a fraction of it."""

MAX_GAUSSIAN_ROWS = 1500
"""Of a Gaussian process, whose likelihood is computed some thirty times."""

MAX_BYTES = 8_000_000
"""Of the weights of a source whose fine-tuned networks, one of each fold, may become members of a model."""

_OF_COMPOSITIONS = (Described(Descriptor.PHYSICAL_ATTRIBUTES), ELEMENTAL_FRACTIONS)
_N_MAGPIE = len(VECTOR_NAMES[Descriptor.MAGPIE])


@dataclass(frozen=True, slots=True)
class RegressorEntrant:
    """A family of regressors on the first `n_columns` of a descriptor, and on what pretrained models give.

    `with_sources`: on what they predict; `with_embeddings`: on the features they predict it from.
    """

    name: str
    family: Family
    reads: Descriptor
    n_columns: int | None = None
    with_sources: bool = False
    with_embeddings: bool = False
    is_cheap: bool = False
    """Whether it is what anybody would try first: the winner has to beat the best of these."""

    def candidates(self, n_features: int) -> list[Parameters]:
        """Hyperparameters to choose from, by cross-validation inside each training part.

        Forests hardly depend on theirs; to choose them as well took most of a tournament's time.
        """
        if self.family is Family.SVR:
            grid = product((3.0, 10.0, 30.0), (0.1, 0.3, 1.0), (0.02, 0.1))
            return [
                {"C": c, "gamma": gamma / n_features, "epsilon": epsilon, "clip": FARTHEST}
                for c, gamma, epsilon in grid
            ]
        if self.family is Family.GAUSSIAN_PROCESS:
            return [{"length": math.sqrt(n_features), "clip": FARTHEST}]
        if self.family is Family.RIDGE:
            return [{"alpha": 10.0**exponent} for exponent in range(5)]
        if self.family is Family.GRADIENT_BOOSTING:
            fixed: Parameters = {"n_estimators": 400, "learning_rate": 0.05, "subsample": 0.7, "max_features": 0.2}
            return [fixed | {"max_depth": 5, "min_samples_leaf": 5}]
        return [{"n_estimators": 200, "max_features": 0.33, "min_samples_leaf": 1}]


@dataclass(frozen=True, slots=True)
class NetworkEntrant:
    """A method of gradient descent, from a source where it needs one.

    `reads` is the graph or the name of a descriptor. `after` names the entrant that has to be the best from any source
    in the first fold for this one to play at all.
    """

    name: str
    method: Method
    architecture: Architecture
    base: Base | None
    reads: str = GRAPH
    after: str | None = None


def regressors(kind: InputKind, n_rows: int, *, has_sources: bool) -> list[RegressorEntrant]:
    """Cheap ones first; kernel machines only where their time is bounded."""
    if kind is InputKind.STRUCTURE:
        full, simple, n_simple = Descriptor.BONDING, Descriptor.BONDING, _N_MAGPIE
        plain, rich = "Magpie", "bonding descriptors"
    else:
        full, simple, n_simple = Descriptor.PHYSICAL_ATTRIBUTES, Descriptor.PHYSICAL_ATTRIBUTES, None
        plain, rich = "physical attributes", "physical attributes"
    found = [
        RegressorEntrant(f"random forest, {plain}", Family.RANDOM_FOREST, simple, n_simple, is_cheap=True),
        RegressorEntrant(f"gradient boosting, {plain}", Family.GRADIENT_BOOSTING, simple, n_simple, is_cheap=True),
        RegressorEntrant(f"SVR, {plain}", Family.SVR, simple, n_simple, is_cheap=True),
        RegressorEntrant(f"extra trees, {rich}", Family.EXTRA_TREES, full),
    ]
    if kind is InputKind.STRUCTURE:
        found.append(RegressorEntrant(f"SVR, {rich}", Family.SVR, full))
        found.append(RegressorEntrant(f"gradient boosting, {rich}", Family.GRADIENT_BOOSTING, full))
    if has_sources:
        also = "pretrained predictions"
        found += [
            RegressorEntrant(f"{label}, {rich} and {also}", family, full, with_sources=True)
            for label, family in (
                ("SVR", Family.SVR), ("extra trees", Family.EXTRA_TREES),
                ("gradient boosting", Family.GRADIENT_BOOSTING),
            )
        ]  # fmt: skip
        learned = "pretrained embeddings"
        found += [
            RegressorEntrant(f"ridge, {learned}", Family.RIDGE, full, n_columns=0, with_embeddings=True),
            RegressorEntrant(
                f"Gaussian process, {learned}", Family.GAUSSIAN_PROCESS, full, n_columns=0, with_embeddings=True
            ),
            RegressorEntrant(
                f"Gaussian process, {rich} and {learned}", Family.GAUSSIAN_PROCESS, full, with_sources=True,
                with_embeddings=True,
            ),
        ]  # fmt: skip
    return [entrant for entrant in found if n_rows <= _most_rows(entrant.family)]


def _most_rows(family: Family) -> float:
    if family is Family.GAUSSIAN_PROCESS:
        return MAX_GAUSSIAN_ROWS
    return MAX_KERNEL_ROWS if family in KERNELS else math.inf


def networks(kind: InputKind, sources: Sequence[Base]) -> list[NetworkEntrant]:
    """Fine-tuning of each source that can be, all of it or what is not frozen; of crystal graphs also from nothing.

    Of compositions only of small sources: one of 4.6 million weights would, five times, make a model of 90 MB. From
    nothing trees are better there (Gupta et al. 2024, Table II for 28,000 rows).
    """
    if kind is not InputKind.STRUCTURE:
        return [
            NetworkEntrant(f"{base[0].name} fine-tuned", Method.FINE_TUNE, Architecture.ELEMNET, base, reads)
            for base, reads in usable_sources(kind, sources)
            if base[0].architecture is Architecture.ELEMNET and len(base[1]) <= MAX_BYTES
        ]
    found = [NetworkEntrant("CGCNN from scratch", Method.SCRATCH, Architecture.CGCNN, None)]
    for base in graph_sources(sources):
        name = f"{base[0].name} fine-tuned"
        found.append(NetworkEntrant(name, Method.FINE_TUNE, Architecture.CGCNN, base))
        found += [
            NetworkEntrant(f"{name}, {what} frozen", method, Architecture.CGCNN, base, after=name)
            for what, method in (("first convolution", Method.FREEZE_EARLY), ("all convolutions", Method.FREEZE))
        ]
    return found


def graph_sources(sources: Sequence[Base]) -> list[Base]:
    """Those that read the usual graph and have the usual network: their parts are of one kind."""
    usual = GraphSettings()
    return [
        base for base in sources if base[0].architecture is Architecture.CGCNN and representation_of(base[0]) == usual
    ]


def usable_sources(kind: InputKind, sources: Sequence[Base]) -> list[tuple[Base, str]]:
    """Sources whose predictions can be features of such data, and what each reads there."""
    found = []
    for base in sources:
        reads = representation_of(base[0])
        if reads == GraphSettings() and kind is InputKind.STRUCTURE:
            found.append((base, GRAPH))
        elif reads in _OF_COMPOSITIONS and kind is InputKind.COMPOSITION:
            found.append((base, reads.descriptor.value))
    return found


def representation_for_all(kind: InputKind) -> Composite:
    """All that any entrant reads of such data."""
    if kind is InputKind.STRUCTURE:
        return Composite(GraphSettings(), (Descriptor.BONDING,))
    return Composite(None, tuple(each.descriptor for each in _OF_COMPOSITIONS))
