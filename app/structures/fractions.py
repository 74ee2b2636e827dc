"""Atomic fractions of whatever a model reads."""

from collections.abc import Sequence

import numpy as np

from app.structures.crystal import Crystal, FloatArray
from app.structures.elements import MAX_ATOMIC_NUMBER
from app.structures.formula import Composition


def fractions_of(items: Sequence[Crystal | Composition]) -> FloatArray:
    """Atomic fractions by atomic number, (B, 101)."""
    return np.array([_fractions(item) for item in items]).reshape(len(items), MAX_ATOMIC_NUMBER + 1)


def _fractions(item: Crystal | Composition) -> FloatArray:
    if isinstance(item, Crystal):
        return np.bincount(item.atomic_numbers, minlength=MAX_ATOMIC_NUMBER + 1) / item.n_sites
    return item.fractions()
