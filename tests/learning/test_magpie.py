"""Composition descriptors equal matminer's, and depend on the composition alone."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.descriptors.catalogue import VECTOR_NAMES, Descriptor, describe
from app.learning.descriptors.element_lists import ElementLists
from app.learning.descriptors.element_table import element_table, imputed_properties
from app.learning.descriptors.magpie import (
    MAGPIE_NAMES,
    PHYSICAL_ATTRIBUTE_NAMES,
    magpie_descriptors,
    physical_attributes,
)
from app.learning.descriptors.neutrality import can_be_neutral
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from app.structures.elements import ATOMIC_NUMBERS, SYMBOLS
from app.structures.formula import Composition

GOLDEN = json.loads(Path(__file__).with_name("magpie_golden.json").read_text())

compositions = st.dictionaries(st.sampled_from(SYMBOLS[1:101]), st.floats(0.01, 50.0), min_size=1, max_size=8).map(
    lambda amounts: Composition(amounts=amounts)
)


def test_names_and_order_are_matminers() -> None:
    assert list(PHYSICAL_ATTRIBUTE_NAMES) == GOLDEN["names"]
    assert len(MAGPIE_NAMES) == 132 and len(PHYSICAL_ATTRIBUTE_NAMES) == 145
    assert PHYSICAL_ATTRIBUTE_NAMES[6:138] == MAGPIE_NAMES


@pytest.mark.parametrize("formula", GOLDEN["values"])
def test_values_are_matminers(formula: str) -> None:
    values = physical_attributes([parse_composition(formula)])[0]
    np.testing.assert_allclose(values, GOLDEN["values"][formula], rtol=1e-12, atol=1e-12)


def test_statistics_by_hand() -> None:
    """Fe2O3: atomic numbers 26 and 8 with weights 0.4 and 0.6."""
    row = dict(zip(MAGPIE_NAMES, magpie_descriptors([parse_composition("Fe2O3")])[0], strict=True))
    mean = 0.4 * 26 + 0.6 * 8
    expected = {"minimum": 8, "maximum": 26, "range": 18, "mean": mean, "mode": 8}
    expected["avg_dev"] = 0.4 * (26 - mean) + 0.6 * (mean - 8)
    for statistic, value in expected.items():
        assert row[f"MagpieData {statistic} Number"] == pytest.approx(value, rel=1e-14)


def test_of_equally_abundant_elements_the_mode_is_the_lowest() -> None:
    for formula in ("NaCl", "Na1Cl1.000001"):
        row = dict(zip(MAGPIE_NAMES, magpie_descriptors([parse_composition(formula)])[0], strict=True))
        assert row["MagpieData mode Number"] == 11
    row = dict(zip(MAGPIE_NAMES, magpie_descriptors([parse_composition("Na1Cl1.001")])[0], strict=True))
    assert row["MagpieData mode Number"] == 17


@given(items=st.lists(compositions, min_size=1, max_size=6))
def test_a_row_does_not_depend_on_its_neighbours_or_on_the_size_of_the_formula(items: list[Composition]) -> None:
    together = physical_attributes(items)
    alone = np.concatenate([physical_attributes([item]) for item in items])
    np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-13)
    doubled = [Composition({symbol: 2 * amount for symbol, amount in item.amounts.items()}) for item in items]
    np.testing.assert_allclose(physical_attributes(doubled), together, rtol=1e-12, atol=1e-12)


@given(composition=compositions)
def test_statistics_are_ordered(composition: Composition) -> None:
    lowest, highest, spread, mean, deviation, mode = magpie_descriptors([composition])[0].reshape(-1, 6).T
    tolerance = 1e-9 * np.maximum(np.abs(highest), 1)
    assert np.all(lowest <= mean + tolerance) and np.all(mean <= highest + tolerance)
    assert np.all((lowest <= mode) & (mode <= highest)) and np.all(spread == highest - lowest)
    assert np.all((deviation >= 0) & (deviation <= spread + tolerance))


def test_equal_values_have_no_deviation_at_all() -> None:
    """Noise of rounding would become a feature once columns are scaled."""
    items = [Composition({"Fe": 0.1 * k, "Co": 0.7, "Ni": 1 / k}) for k in range(1, 50)]
    column = MAGPIE_NAMES.index("MagpieData avg_dev Row")
    assert np.all(magpie_descriptors(items)[:, column] == 0.0)


def test_a_crystal_counts_its_sites() -> None:
    numbers = np.array([ATOMIC_NUMBERS[s] for s in ("Sr", "Ti", "O", "O", "O")])
    cubic = Crystal(
        4.0 * np.eye(3), np.array([[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]), numbers
    )
    doubled = Crystal(cubic.lattice, np.tile(cubic.fractional_coordinates, (2, 1)), np.tile(numbers, 2))
    rows = physical_attributes([parse_composition("SrTiO3"), cubic, doubled])
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[1], rows[2])


def test_missing_values_are_named() -> None:
    assert imputed_properties(ElementLists.of([parse_composition("SrTiO3")]).atomic_numbers) == {}
    named = imputed_properties(np.array([ATOMIC_NUMBERS["He"], ATOMIC_NUMBERS["Fm"], ATOMIC_NUMBERS["O"], 0]))
    assert named["Electronegativity"] == ("He",)
    assert named["CovalentRadius"] == ("Fm",)
    assert named["MeltingT"] == ("He",)


def test_the_table_covers_every_supported_element() -> None:
    table = element_table()
    assert table.values.shape == (101, 22) and np.isfinite(table.values).all()
    assert np.array_equal(table.values[1:, table.names.index("Number")], np.arange(1, 101))


@pytest.mark.parametrize(
    ("formula", "possible"),
    [
        ("NaCl", True),
        ("Fe2O3", True),
        ("Fe3O4", False),
        ("NaCl2", False),
        ("Si", True),
        ("HeNe", False),
        ("Sn0.5Ti0.5O2", True),
    ],
)
def test_neutrality(formula: str, possible: bool) -> None:
    lists = ElementLists.of([parse_composition(formula)])
    assert can_be_neutral(lists.atomic_numbers[0], lists.fractions[0]) is possible


def test_neutrality_of_very_many_elements_is_bounded() -> None:
    random = np.random.default_rng(0)
    symbols = [s for z, s in enumerate(SYMBOLS[:101]) if z and element_table().oxidation_states[z]]
    lists = ElementLists.of([Composition({s: float(random.uniform(0.1, 1)) for s in symbols})])
    started = time.perf_counter()
    can_be_neutral(lists.atomic_numbers[0], lists.fractions[0])
    assert time.perf_counter() - started < 5.0


def test_describe_gives_rows_and_errors_in_order() -> None:
    items = [parse_composition(f) for f in ("Fe2O3", "XeF2", "RnF2", "NaCl")]
    for descriptor, names in VECTOR_NAMES.items():
        rows, errors = describe(descriptor, items)
        assert rows.dtype == np.float32
        assert rows.shape == (sum(error is None for error in errors), len(names))
        assert describe(descriptor, [])[0].shape == (0, len(names))
    fractions, errors = describe(Descriptor.ELEMENTAL_FRACTIONS, items)
    assert [error.code if error else None for error in errors] == [None, None, "unsupported_element", None]
    np.testing.assert_allclose(fractions.sum(axis=1), 1.0, rtol=1e-6)
    rows, errors = describe(Descriptor.SOAP, items)
    assert rows.shape[0] == 0 and {error.code for error in errors if error} == {"input_kind_mismatch"}
