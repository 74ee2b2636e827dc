"""Labels in two units are told from labels in one."""

from itertools import combinations

import numpy as np
import pytest

from app.datasets.mixed_units import MAX_ROWS, MixedUnits, find_mixed_units
from app.datasets.rows import RawRow, RowKind
from app.datasets.validation import validate_rows
from app.properties.catalogue import resolve_property
from app.properties.units import OTHER_UNITS, SMALLEST_TOLD_APART
from app.structures.crystal import FloatArray
from app.structures.elements import SYMBOLS

PAIRS = [(first, n, second) for n in (1, 2) for first, second in combinations(SYMBOLS[11:48], 2)]

FAMILIES = SYMBOLS[11:24], SYMBOLS[24:37]


def _labels(n: int, seed: int, median: float = 80.0) -> tuple[list[str], FloatArray]:
    """Formulas, and positive labels over a decade, of which their elements explain most."""
    rng = np.random.default_rng(seed)
    part = dict(zip(SYMBOLS, rng.normal(0, 0.25, len(SYMBOLS)), strict=True))
    drawn = [PAIRS[row] for row in rng.permutation(len(PAIRS))[:n]]
    sizes = [part[first] + part[second] + rng.normal(0, 0.1) for first, _, second in drawn]
    return [f"{first}{n}{second}" for first, n, second in drawn], median * 10 ** np.array(sizes)


def _find(formulas: list[str], labels: FloatArray, property_key: str = "k_vrh", **own: str) -> MixedUnits | None:
    raw = [
        RawRow(line, str(line), RowKind.COMPOSITION, formula, repr(float(label)))
        for line, (formula, label) in enumerate(zip(formulas, labels, strict=True), start=2)
    ]
    spec = resolve_property(property_key, **own)
    return find_mixed_units(raw, validate_rows(raw, spec)[0], spec)


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
@pytest.mark.parametrize("unit", ["Pa", "kPa", "MPa", "Mbar", "eV/Å3"])
def test_another_unit_is_named(unit: str, share: float) -> None:
    formulas, labels = _labels(200, seed=1)
    other = np.random.default_rng(2).random(200) < share
    found = _find(formulas, np.where(other, labels / OTHER_UNITS["GPa"][unit], labels))
    assert found is not None
    assert found.unit == unit and found.share == pytest.approx(other.mean(), abs=0.02)
    assert found.other == pytest.approx(np.median(labels[~other]), rel=0.1)
    assert found.example * OTHER_UNITS["GPa"][unit] == pytest.approx(np.median(labels[other]), rel=0.1)


def test_groups_that_overlap_come_apart_by_composition() -> None:
    formulas, labels = _labels(600, seed=3)
    other = np.random.default_rng(4).random(600) < 0.4
    mixed = np.where(other, labels * 10, labels)
    assert mixed[other].min() < labels[~other].max()
    found = _find(formulas, mixed)
    assert found is not None and found.unit == "kbar" and found.share == pytest.approx(other.mean(), abs=0.05)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_and_values_near_zero_say_nothing(sign: int) -> None:
    formulas, labels = _labels(300, seed=5, median=1.5)
    labels = sign * labels
    labels[:100] *= 1e-6
    assert np.abs(labels[:100]).max() < SMALLEST_TOLD_APART["eV/atom"]
    assert _find(formulas, labels, "formation_energy_per_atom") is None
    labels[100:180] *= 1000
    found = _find(formulas, labels, "formation_energy_per_atom")
    assert found is not None and found.unit == "meV/atom" and found.share == pytest.approx(80 / 200)


@pytest.mark.parametrize("factor", [10, 100, 160])
def test_two_families_as_far_apart_as_two_units_are_legitimate(factor: float) -> None:
    """Soft halides beside hard carbides: the elements explain the groups."""
    rng = np.random.default_rng(9)
    soft, hard = ([f"{a}{n}{b}" for n in (1, 2) for a, b in combinations(part, 2)] for part in FAMILIES)
    labels = 3.0 * 10 ** rng.normal(0, 0.12, len(soft) + len(hard))
    is_hard = np.arange(len(labels)) >= len(soft)
    assert _find(soft + hard, np.where(is_hard, factor * labels, labels)) is None
    assert _find(soft + hard, np.where(rng.permutation(is_hard), factor * labels, labels)) is not None


@pytest.mark.parametrize("n", [20, 60, 200, 1000])
def test_one_unit_is_no_two(n: int) -> None:
    for seed in range(20):
        assert _find(*_labels(n, seed)) is None


def test_a_few_labels_far_off_are_outliers() -> None:
    formulas, labels = _labels(200, seed=6)
    labels[:4] *= 1000
    assert _find(formulas, labels) is None


def test_a_property_of_ones_own_can_be_anything() -> None:
    formulas, labels = _labels(200, seed=7)
    labels[::2] *= 1e9
    assert _find(formulas, labels) is not None
    assert _find(formulas, labels, "my_modulus", unit="GPa") is None


def test_of_many_rows_some_are_looked_at_wherever_they_are() -> None:
    formulas, labels = _labels(1000, seed=8)
    formulas, labels = formulas * 11, np.tile(labels, 11)
    assert len(labels) > 2 * MAX_ROWS
    at_the_end, every_third = labels.copy(), labels.copy()
    at_the_end[-2000:] *= 1e9
    every_third[::3] *= 1e9
    for mixed, share in ((at_the_end, 2000 / 11000), (every_third, 1 / 3)):
        found = _find(formulas, mixed)
        assert found is not None and found.share == pytest.approx(share, abs=0.02)
