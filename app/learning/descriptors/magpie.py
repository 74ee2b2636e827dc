"""The 132 Magpie descriptors of a composition, and the 145 physical attributes that contain them.

Ward, Agrawal, Choudhary, Wolverton, npj Comput. Mater. 2 (2016) 16028. The numbers and the names are those of
matminer's `ElementProperty.from_preset("magpie")`; the attributes are those that Gupta et al. call PA.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.learning.descriptors.element_lists import ElementLists
from app.learning.descriptors.element_table import element_table
from app.learning.descriptors.neutrality import can_be_neutral
from app.structures.crystal import Crystal
from app.structures.formula import Composition

FloatArray = npt.NDArray[np.float64]

_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
_NORMS = (2, 3, 5, 7, 10)
_VALENCE_SHELLS = ("s", "p", "d", "f")
_ROWS_AT_ONCE = 4096

MAGPIE_NAMES: tuple[str, ...] = tuple(
    f"MagpieData {statistic} {name}" for name in element_table().names for statistic in _STATISTICS
)
"""Columns of `magpie_descriptors`."""

PHYSICAL_ATTRIBUTE_NAMES: tuple[str, ...] = (
    "0-norm",
    *(f"{p}-norm" for p in _NORMS),
    *MAGPIE_NAMES,
    *(f"avg {shell} valence electrons" for shell in _VALENCE_SHELLS),
    "compound possible",
    "max ionic char",
    "avg ionic char",
)
"""Columns of `physical_attributes`."""


def magpie_descriptors(items: Sequence[Composition | Crystal]) -> FloatArray:
    """(n, 132) float64, columns `MAGPIE_NAMES`: statistics of 22 elemental properties, weighted by atomic fraction.

    `mode` is the value of the most abundant element, the lowest of them where several are. Values that an element
    does not have are means over all elements: `imputed_properties` names them.
    """
    lists = ElementLists.of(items)
    parts = [_statistics(lists, rows) for rows in _chunks(len(items))]
    return np.concatenate(parts) if parts else np.zeros((0, len(MAGPIE_NAMES)))


def physical_attributes(items: Sequence[Composition | Crystal]) -> FloatArray:
    """(n, 145) float64, columns `PHYSICAL_ATTRIBUTE_NAMES`.

    Norms of the atomic fractions, the Magpie descriptors, mean valence electrons of each shell, whether some common
    oxidation state of each element makes the compound neutral (0 or 1), and the ionic character of element pairs.
    """
    if not items:
        return np.zeros((0, len(PHYSICAL_ATTRIBUTE_NAMES)))
    lists = ElementLists.of(items)
    magpie = magpie_descriptors(items)
    norms = [lists.present.sum(axis=1), *((lists.fractions**p).sum(axis=1) ** (1 / p) for p in _NORMS)]
    shells = [magpie[:, MAGPIE_NAMES.index(f"MagpieData mean N{shell}Valence")] for shell in _VALENCE_SHELLS]
    possible = [float(can_be_neutral(*pair)) for pair in zip(lists.atomic_numbers, lists.fractions, strict=True)]
    return np.column_stack([*norms, magpie, *shells, possible, *_ionic_character(lists)])


def _chunks(n_rows: int) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n_rows, _ROWS_AT_ONCE)]


def _statistics(lists: ElementLists, rows: slice) -> FloatArray:
    """(b, 22 * 6) of `rows`."""
    present = lists.present[rows, :, None]
    weights = lists.fractions[rows, :, None]
    values = element_table().values[lists.atomic_numbers[rows]]
    lowest = np.where(present, values, np.inf).min(axis=1)
    highest = np.where(present, values, -np.inf).max(axis=1)
    # From the lowest value on, the mean of equal values is exactly that value and their deviation exactly 0: noise of
    # rounding would become a feature once columns are scaled to unit spread.
    mean = lowest + (weights * np.where(present, values - lowest[:, None], 0.0)).sum(axis=1)
    deviation = (weights * np.abs(values - mean[:, None])).sum(axis=1)
    most_abundant = present & np.isclose(weights, weights.max(axis=1, keepdims=True))
    mode = np.where(most_abundant, values, np.inf).min(axis=1)
    stacked = np.stack([lowest, highest, highest - lowest, mean, deviation, mode], axis=2)
    return np.asarray(stacked.reshape(stacked.shape[0], -1))


def _ionic_character(lists: ElementLists) -> tuple[FloatArray, FloatArray]:
    """Largest and mean ionic character 1 - exp(-(X_a - X_b)² / 4) of the element pairs, (n,) each; 0 for elements."""
    electronegativity = element_table().electronegativity[lists.atomic_numbers]
    difference = electronegativity[:, :, None] - electronegativity[:, None, :]
    pairs = lists.present[:, :, None] & lists.present[:, None, :]
    character = np.where(pairs, 1.0 - np.exp(-0.25 * difference**2), 0.0)
    weights = lists.fractions[:, :, None] * lists.fractions[:, None, :]
    return character.max(axis=(1, 2)), 0.5 * (weights * character).sum(axis=(1, 2))
