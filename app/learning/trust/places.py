"""Where inputs lie beside the training rows: in the representation of the model, and in composition.

Dimensions used below: B inputs, R reference rows, F width of the model's feature vectors, P principal components,
C composition coordinates.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from app.learning.networks.element_bits import element_bits
from app.structures.elements import ATOMIC_NUMBERS, MAX_ATOMIC_NUMBER

Floats = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_COMPONENTS = 32
_ELEMENT_COMPONENTS = 16
_MOST = 6e4
"""Coordinates are kept as float16."""
_AMOUNT = re.compile(r"([A-Z][a-z]?)([0-9.]*)")


@dataclass(frozen=True, slots=True)
class Places:
    """Of B inputs: principal components (B, P) and composition coordinates (B, C)."""

    features: Floats
    compositions: Floats

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: IntArray | slice) -> "Places":
        return Places(self.features[rows], self.compositions[rows])


def fractions_of_keys(keys: Sequence[str]) -> FloatArray:
    """Composition keys (`O2Si`) -> atomic fractions by atomic number, (n, 101)."""
    fractions = np.zeros((len(keys), MAX_ATOMIC_NUMBER + 1))
    for row, key in enumerate(keys):
        for symbol, amount in _AMOUNT.findall(key):
            fractions[row, ATOMIC_NUMBERS[symbol]] += float(amount or 1)
    return np.asarray(fractions / fractions.sum(axis=1, keepdims=True))


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


@dataclass(frozen=True, slots=True)
class Points:
    """R points (R, d) to measure distances from; `half_squares` (R,) are half their squared lengths."""

    coordinates: Floats
    half_squares: Floats

    @classmethod
    def of(cls, coordinates: Floats) -> "Points":
        # Columns behind each other are what the product with few rows reads fastest.
        return cls(np.asfortranarray(coordinates), 0.5 * np.einsum("ij,ij->i", coordinates, coordinates))

    def nearest(self, asked: Floats, k: int, hidden: Mask | None = None) -> tuple[IntArray, Floats]:
        """Rows of the k nearest to each of `asked` (B, d), nearest first, and their distances, each (B, k).

        All, where there are fewer. Points that are `hidden` (B, R) are infinitely far.
        """
        # Half of |a - b|², but for |a|², which orders nothing.
        order = self.half_squares - asked @ self.coordinates.T
        if hidden is not None:
            order = np.where(hidden, np.float32(np.inf), order)
        k = min(k, order.shape[1])
        each = np.arange(len(order))[:, None]
        rows = order.argpartition(k - 1, axis=1)[:, :k]
        found = order[each, rows]
        places = found.argsort(axis=1, kind="stable")
        squares = 2.0 * found[each, places] + np.einsum("ij,ij->i", asked, asked)[:, None]
        return rows[each, places], np.sqrt(np.maximum(squares, np.float32(0.0)))
