"""Model inputs in arrays, cut into batches by index: the same two calls for graphs and for vectors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.core.errors import InputKindMismatch, XtalforgeError
from app.learning.descriptors.catalogue import describe
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.packed import PackedGraphs
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.elemnet import elemental_fractions
from app.learning.representations import ELEMENTAL_FRACTIONS, Composite, Representation
from app.structures.crystal import Crystal
from app.structures.elements import ATOMIC_NUMBERS, MAX_ATOMIC_NUMBER, SYMBOLS
from app.structures.formula import Composition

IntArray = npt.NDArray[np.int64]
ModelInput = Crystal | Composition


@dataclass(frozen=True, slots=True)
class CompositeBatch:
    """The same inputs read in several ways, by name."""

    parts: Mapping[str, GraphBatch | Tensor]


NetworkBatch = GraphBatch | Tensor | CompositeBatch
Made = TypeVar("Made")


class Samples(Protocol):
    """A set of featurised inputs."""

    def __len__(self) -> int: ...

    def batch(self, indices: IntArray, device: torch.device) -> NetworkBatch:
        """The samples at `indices` as the network takes them."""
        ...

    def take(self, indices: IntArray) -> "Samples":
        """The samples at `indices`, in that order."""
        ...

    @property
    def costs(self) -> IntArray:
        """Memory each sample needs, in edges (graphs) or 1 (vectors), (B,)."""
        ...


@dataclass(frozen=True, slots=True)
class GraphSamples:
    """Graphs `rows` (B,) of a packed set, all of it without them.

    A set mapped from a file stays there: memory holds the batches only.
    """

    source: PackedGraphs
    rows: IntArray | None = None

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else int(self.rows.shape[0])

    @property
    def packed(self) -> PackedGraphs:
        """These graphs alone, in memory unless they are the whole set."""
        return self.source if self.rows is None else self.source.take(self.rows)

    def batch(self, indices: IntArray, device: torch.device) -> GraphBatch:
        rows = self._rows(indices)
        # Of a whole set nothing has to be copied, unless it lies in a file.
        is_whole = len(rows) == len(self.source) and bool((rows == np.arange(len(rows))).all())
        is_in_memory = self.source.distances.flags.writeable
        return GraphBatch.from_packed(self.source if is_whole and is_in_memory else self.source.take(rows)).to(device)

    def take(self, indices: IntArray) -> "GraphSamples":
        return GraphSamples(self.source, self._rows(indices))

    @property
    def n_sites(self) -> IntArray:
        """Atoms in the cell of each crystal, (B,)."""
        return self.source.n_sites if self.rows is None else self.source.n_sites[self.rows]

    @property
    def costs(self) -> IntArray:
        return self.source.n_edges if self.rows is None else self.source.n_edges[self.rows]

    def _rows(self, indices: IntArray) -> IntArray:
        return np.asarray(indices) if self.rows is None else self.rows[indices]


@dataclass(frozen=True, slots=True)
class VectorSamples:
    """Rows of a descriptor, (B, ...)."""

    features: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def batch(self, indices: IntArray, device: torch.device) -> Tensor:
        return torch.from_numpy(self.features[indices]).to(device)

    def take(self, indices: IntArray) -> "VectorSamples":
        return VectorSamples(self.features[indices])

    @property
    def costs(self) -> IntArray:
        return np.ones(len(self), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class CompositeSamples:
    """The same inputs read in several ways, by name: `graph`, or a descriptor's name. At least one."""

    parts: Mapping[str, GraphSamples | VectorSamples]

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def batch(self, indices: IntArray, device: torch.device) -> CompositeBatch:
        return CompositeBatch({name: part.batch(indices, device) for name, part in self.parts.items()})

    def take(self, indices: IntArray) -> "CompositeSamples":
        return CompositeSamples({name: part.take(indices) for name, part in self.parts.items()})

    @property
    def costs(self) -> IntArray:
        return np.asarray(np.max([part.costs for part in self.parts.values()], axis=0))


GraphBuilder = Callable[[Crystal, GraphSettings], CrystalGraph]


def featurise_structure(
    item: ModelInput, settings: GraphSettings, build: GraphBuilder = build_crystal_graph
) -> CrystalGraph:
    """Raises InputKindMismatch for a composition, and what `build_crystal_graph` raises."""
    if not isinstance(item, Crystal):
        raise InputKindMismatch(
            "This model needs a crystal structure (CIF, POSCAR); a composition has no atoms' places."
        )
    return build(item, settings)


def featurise_composition(item: ModelInput) -> npt.NDArray[np.float32]:
    """Elemental fractions (86,), of a composition or of a crystal's own. Raises UnsupportedElement."""
    if isinstance(item, Crystal):
        return elemental_fractions(np.bincount(item.atomic_numbers, minlength=MAX_ATOMIC_NUMBER + 1) / item.n_sites)
    return elemental_fractions(item.fractions())


def make_samples(
    items: Sequence[ModelInput], representation: Representation, build: GraphBuilder = build_crystal_graph
) -> tuple[Samples, list[XtalforgeError | None]]:
    """Featurise what can be; the error of each item that cannot, else None. Samples keep the order of the good ones."""
    if isinstance(representation, Composite):
        return _composite(items, representation, build)
    if isinstance(representation, GraphSettings):
        graphs, errors = _each(items, lambda item: featurise_structure(item, representation, build))
        return GraphSamples(PackedGraphs.pack(graphs)) if graphs else VectorSamples(_NOTHING), errors
    if representation == ELEMENTAL_FRACTIONS:
        vectors, errors = _each(items, featurise_composition)
        return VectorSamples(np.stack(vectors) if vectors else _NOTHING), errors
    rows, errors = describe(representation.descriptor, items, representation.soap)
    return VectorSamples(rows), errors


def _composite(
    items: Sequence[ModelInput], representation: Composite, build: GraphBuilder
) -> tuple[CompositeSamples, list[XtalforgeError | None]]:
    """An input has to be readable in every way."""
    errors: list[XtalforgeError | None] = [None] * len(items)
    parts: dict[str, GraphSamples | VectorSamples] = {}
    good = np.arange(len(items))
    for name, each in representation.parts.items():
        samples, found = make_samples([items[index] for index in good.tolist()], each, build)
        assert isinstance(samples, GraphSamples | VectorSamples)
        for index, error in zip(good, found, strict=True):
            errors[index] = error
        kept = np.array([error is None for error in found], dtype=bool)
        parts = {other: part.take(np.flatnonzero(kept)) for other, part in parts.items()}
        parts[name] = samples
        good = good[kept]
    return CompositeSamples(parts), errors


def _each(
    items: Sequence[ModelInput], featurise: Callable[[ModelInput], Made]
) -> tuple[list[Made], list[XtalforgeError | None]]:
    made: list[Made] = []
    errors: list[XtalforgeError | None] = []
    for item in items:
        try:
            made.append(featurise(item))
            errors.append(None)
        except XtalforgeError as error:
            errors.append(error)
    return made, errors


_NOTHING = np.zeros((0, 0), dtype=np.float32)


def elements_of(item: ModelInput) -> set[int]:
    """Atomic numbers in an input."""
    if isinstance(item, Crystal):
        return {int(z) for z in np.unique(item.atomic_numbers)}
    return {ATOMIC_NUMBERS[symbol] for symbol in item.amounts}


def composition_key(item: ModelInput) -> str:
    """What a split by formula groups by: elements and fractions, equal for Fe2O3 and Fe4O6."""
    if isinstance(item, Crystal):
        return item.reduced_formula
    fractions = item.fractions()
    integers = reduce_amounts(list(item.amounts.values()))
    if integers is not None:
        named = sorted(zip(item.amounts, integers, strict=True))
        return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in named)
    return "".join(f"{SYMBOLS[z]}{fractions[z]:.5f}" for z in np.flatnonzero(fractions))


def reduce_amounts(amounts: list[float]) -> list[int] | None:
    """Smallest whole numbers in the ratio of the amounts; None when there are none up to a factor of 100."""
    for factor in range(1, 101):
        scaled = [amount * factor for amount in amounts]
        if all(abs(value - round(value)) < 1e-6 * max(1.0, value) and round(value) > 0 for value in scaled):
            integers = [round(value) for value in scaled]
            divisor = gcd(*integers)
            return [value // divisor for value in integers]
    return None
