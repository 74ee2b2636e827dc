"""Where inputs lie beside the training rows: in the representation of the model, and in composition.

Dimensions used below: B inputs, R reference rows, F width of the model's feature vectors, P principal components,
C composition coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from app.learning.networks.element_bits import element_bits
from app.structures.crystal import Crystal
from app.structures.elements import MAX_ATOMIC_NUMBER
from app.structures.formula import Composition

Floats = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_COMPONENTS = 32
_ELEMENT_COMPONENTS = 16
_MOST = 6e4
"""Coordinates are kept as float16."""


@dataclass(frozen=True, slots=True)
class Places:
    """Of B inputs: principal components (B, P) and composition coordinates (B, C)."""

    features: Floats
    compositions: Floats

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: IntArray | slice) -> "Places":
        return Places(self.features[rows], self.compositions[rows])


def fractions_of(items: Sequence[Crystal | Composition]) -> FloatArray:
    """Atomic fractions by atomic number, (B, 101)."""
    return np.array([_fractions(item) for item in items]).reshape(len(items), MAX_ATOMIC_NUMBER + 1)


def _fractions(item: Crystal | Composition) -> FloatArray:
    if isinstance(item, Crystal):
        return np.bincount(item.atomic_numbers, minlength=MAX_ATOMIC_NUMBER + 1) / item.n_sites
    return item.fractions()


@lru_cache(maxsize=1)
def element_coordinates() -> Floats:
    """(101, C) float32: principal components of the elements' binned properties; a composition lies at their mean.

    Elements of neighbouring groups and periods lie close together, so that an element that was never seen still has
    a place among those that were.
    """
    table = element_bits().astype(np.float64)
    centred = table[1:] - table[1:].mean(axis=0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    coordinates = np.zeros((MAX_ATOMIC_NUMBER + 1, _ELEMENT_COMPONENTS))
    coordinates[1:] = centred @ directions[:_ELEMENT_COMPONENTS].T
    # The sign of a component is arbitrary, and libraries differ in it.
    coordinates *= np.sign(coordinates[np.abs(coordinates).argmax(axis=0), np.arange(_ELEMENT_COMPONENTS)])
    return coordinates.astype(np.float32) / np.float32(values[0])


@dataclass(frozen=True, slots=True)
class Projection:
    """(x - mean) @ matrix: principal components of the feature vectors."""

    mean: Floats
    matrix: Floats

    @classmethod
    def fit(cls, embeddings: Floats, *, standardise: bool) -> "Projection":
        """From feature vectors (R, F), R >= 2.

        Columns of descriptors have units of their own and are to be `standardise`d. Features that a network has learned
        are not: those that matter to it spread more than others, and distances tell errors better that way.
        """
        values = embeddings.astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        varies = spread > 1e-6 * np.abs(values).max(axis=0)
        scale = np.where(varies, 1.0 / np.where(varies & standardise, spread, 1.0), 0.0)
        _, singular, directions = np.linalg.svd((values - mean) * scale, full_matrices=False)
        n = max(1, min(MAX_COMPONENTS, int((singular > 1e-6 * singular[0]).sum())))
        # All components in one unit, so that the sum of their squares is about their number.
        unit = np.sqrt((singular[:n] ** 2).sum() / len(values) / n)
        matrix = scale[:, None] * directions[:n].T / (unit if unit > 0 else 1.0)
        return cls(mean.astype(np.float32), matrix.astype(np.float32))

    def __call__(self, embeddings: Floats) -> Floats:
        """(B, F) -> (B, P)."""
        placed = (embeddings - self.mean) @ self.matrix
        return np.clip(placed, -_MOST, _MOST)


def composition_places(fractions: FloatArray) -> Floats:
    """Atomic fractions (B, 101) -> composition coordinates (B, C)."""
    coordinates: Floats = fractions.astype(np.float32) @ element_coordinates()
    return coordinates


def distances(points: Floats, reference: Floats) -> Floats:
    """Euclidean, (B, d) and (R, d) -> (B, R)."""
    squared = (points**2).sum(1)[:, None] + (reference**2).sum(1) - 2.0 * (points @ reference.T)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def nearest(all_distances: Floats, k: int) -> IntArray:
    """(B, R) -> reference rows of the k smallest distances (all, when there are fewer), nearest first, (B, k)."""
    k = min(k, all_distances.shape[1])
    rows = np.argpartition(all_distances, k - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(all_distances, rows, axis=1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)
