"""Labels in two units at once: two groups, as far apart as another unit is from the property's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from app.datasets.rows import RawRow
from app.datasets.validation import UsableRow, number_of
from app.properties.catalogue import PropertySpec
from app.properties.units import OTHER_UNITS, SMALLEST_TOLD_APART
from app.structures.crystal import FloatArray
from app.structures.fractions import fractions_of

MIN_ROWS, MAX_ROWS = 20, 5000
"""Of more rows, so many are looked at."""
_MIN_GROUP, _MIN_SHARE = 5, 0.04
_MIN_DISTANCE, _FEW_ROWS = 4.0, 150.0
"""Centres of the two groups in their spread (Ashman's D), and what is added over the number of rows.

The halves of one bell have 2.7.
"""
_TOLERANCE = 0.12
"""In log10, between the distance of the groups and that of the units."""
_WILD = 3.0
"""Decades: no two families of materials lie so far apart."""
_MUCH_BETTER = 0.6
"""Of the spread that the elements leave unexplained."""
_USUAL = 100
"""Times the smallest label that tells of a unit: the least that both groups have in the middle, in the own unit."""
_RIDGE = 0.3
_SMALLEST_SPREAD = 1e-3
Row = TypeVar("Row", RawRow, UsableRow)


@dataclass(frozen=True, slots=True)
class MixedUnits:
    """`share` of the labels look as if they were in `unit`; one of these, and one of the others."""

    unit: str
    share: float
    example: float
    other: float


def find_mixed_units(raw: Sequence[RawRow], usable: Sequence[UsableRow], spec: PropertySpec) -> MixedUnits | None:
    """Looks at all labels as they are, and at what the composition does not explain of the usable ones.

    As they are, two families of materials may lie as far apart as two units do. So it counts only where the units are
    a factor of a thousand apart, where most of one group cannot be such a property at all, or where the elements
    explain the labels much better once one group is converted. A property of one's own is not looked at: what it can
    be is not known.
    """
    if spec.unit not in OTHER_UNITS or spec.upper is None or spec.lower is None:
        return None
    smallest = SMALLEST_TOLD_APART[spec.unit]
    numbers = [number_of(row.label.strip()) for row in _some(raw)]
    labels = np.array([number for number in numbers if number is not None and abs(number) >= smallest])
    rows = [row for row in _some(usable) if abs(row.target) >= smallest]
    targets = np.array([row.target for row in rows])
    found = _mixed(labels, np.log10(np.abs(labels)), spec.unit)
    if found is not None:
        cannot_be = not spec.lower <= found.example <= spec.upper
        if cannot_be or _is_wild(found, spec.unit) or _fits_better_converted(rows, targets, found, spec.unit):
            return found
    return _mixed(targets, _unexplained(rows, np.log10(np.abs(targets))), spec.unit)


def _fits_better_converted(rows: Sequence[UsableRow], targets: FloatArray, found: MixedUnits, own: str) -> bool:
    """Whether the elements leave much less unexplained where all labels of one group are converted."""
    if len(rows) < MIN_ROWS:
        return False
    logarithms = np.log10(np.abs(targets))
    border = (math.log10(abs(found.example)) + math.log10(abs(found.other))) / 2
    in_unit = (logarithms > border) == (abs(found.example) > abs(found.other))
    converted = logarithms + in_unit * math.log10(OTHER_UNITS[own][found.unit])
    as_they_are, then = (_unexplained(rows, each).std() for each in (logarithms, converted))
    return bool(then < _MUCH_BETTER * as_they_are)


def _is_wild(found: MixedUnits, own: str) -> bool:
    return abs(math.log10(OTHER_UNITS[own][found.unit])) >= _WILD


def _some(rows: Sequence[Row]) -> Sequence[Row]:
    """At random: a file may hold the values of one source in every other line."""
    if len(rows) <= MAX_ROWS:
        return rows
    return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))[:MAX_ROWS].tolist()]


def _mixed(values: FloatArray, logarithms: FloatArray, own: str) -> MixedUnits | None:
    """By the logarithms of the values, (n,), or what is left of them."""
    upper = _upper_group(logarithms) if len(values) >= MIN_ROWS else None
    if upper is None:
        return None
    apart = float(logarithms[upper].mean() - logarithms[~upper].mean())
    units = OTHER_UNITS[own]
    unit = min(units, key=lambda name: abs(abs(math.log10(units[name])) - apart))
    in_unit = upper if units[unit] < 1 else ~upper
    example, other = float(np.median(values[in_unit])), float(np.median(values[~in_unit]))
    unusual = min(abs(example) * units[unit], abs(other)) < _USUAL * SMALLEST_TOLD_APART[own]
    if unusual or abs(abs(math.log10(units[unit])) - apart) > _TOLERANCE:
        return None
    return MixedUnits(unit, float(in_unit.mean()), example, other)


def _upper_group(logarithms: FloatArray) -> np.ndarray | None:
    """Which rows are above the cut that leaves the least spread on both sides; None where these are no two groups."""
    order = np.argsort(logarithms)
    ascending = logarithms[order]
    n, below = len(ascending), np.arange(1, len(ascending))
    sums, squares = np.cumsum(ascending), np.cumsum(ascending**2)
    left = squares[:-1] - sums[:-1] ** 2 / below
    right = squares[-1] - squares[:-1] - (sums[-1] - sums[:-1]) ** 2 / (n - below)
    cut = int(np.argmin(left + right)) + 1
    if min(cut, n - cut) < max(_MIN_GROUP, _MIN_SHARE * n):
        return None
    spread = math.hypot(ascending[:cut].std(), ascending[cut:].std()) / math.sqrt(2)
    distance = (ascending[cut:].mean() - ascending[:cut].mean()) / max(spread, _SMALLEST_SPREAD)
    if distance < _MIN_DISTANCE + _FEW_ROWS / n:
        return None
    upper = np.zeros(n, dtype=bool)
    upper[order[cut:]] = True
    return upper


def _unexplained(rows: Sequence[UsableRow], logarithms: FloatArray) -> FloatArray:
    """Residuals, (n,), each of a ridge regression on fractions of the elements that has not seen the row."""
    if not rows:
        return logarithms
    matrix = fractions_of([row.item for row in rows])
    solved = np.linalg.solve(matrix.T @ matrix + _RIDGE * np.eye(matrix.shape[1]), matrix.T)
    centred = logarithms - np.median(logarithms)
    leverage = np.einsum("ij,ji->i", matrix, solved)
    residuals: FloatArray = (centred - matrix @ (solved @ centred)) / (1 - leverage)
    return residuals
