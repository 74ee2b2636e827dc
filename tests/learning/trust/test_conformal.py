"""Intervals hold what they say, whatever the errors are distributed like."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import Difficulty
from app.learning.trust.families import FAMILIES, elements_in, family_of
from app.learning.trust.places import Points, Projection, element_coordinates, fractions_of_keys
from app.learning.trust.reference import MAX_REFERENCE, choose_reference
from app.structures.composition import parse_composition
from app.structures.elements import ATOMIC_NUMBERS


def distances(points: Any, reference: Any) -> Any:
    return np.linalg.norm(points[:, None].astype(float) - reference, axis=2)


scores = st.lists(st.floats(0.0, 1e3, width=32), min_size=1, max_size=60)


@given(values=scores, level=st.floats(0.5, 0.99))
def test_the_quantile_is_that_of_split_conformal_prediction(values: list[float], level: float) -> None:
    n = len(values)
    place = math.ceil((n + 1) * level - 1e-9)
    expected = sorted(values)[place - 1] if place <= n else None
    table = ScoreTable.of(np.array(values), [str(i) for i in range(n)])
    assert table.quantile(level) == (None if expected is None else pytest.approx(expected))
    assert table.highest_level == pytest.approx(n / (n + 1))


@given(values=scores, levels=st.tuples(st.floats(0.5, 0.99), st.floats(0.5, 0.99)), n_groups=st.integers(1, 20))
def test_a_higher_level_never_gives_less(values: list[float], levels: tuple[float, float], n_groups: int) -> None:
    table = ScoreTable.of(np.array(values), [str(i % n_groups) for i in range(len(values))])
    low, high = (table.quantile(level) for level in sorted(levels))
    assert high is None or (low is not None and low <= high)


def test_nine_rows_are_needed_for_a_level_of_nine_tenths() -> None:
    assert ScoreTable.of(np.arange(8.0), list("abcdefgh")).quantile(0.9) is None
    assert ScoreTable.of(np.arange(9.0), list("abcdefghi")).quantile(0.9) == 8.0
    # Nine rows of one formula tell as much as one.
    assert ScoreTable.of(np.arange(9.0), ["a"] * 9).quantile(0.9) is None


def test_a_formula_with_many_polymorphs_does_not_decide_for_all() -> None:
    values = np.concatenate([np.full(200, 100.0), np.arange(20.0)])
    groups = ["SiO2"] * 200 + [str(i) for i in range(20)]
    assert ScoreTable.of(values, groups).quantile(0.9) == 19.0


@pytest.mark.parametrize(("n", "level"), [(20, 0.9), (50, 0.8), (200, 0.95)])
def test_coverage_on_exchangeable_rows_is_within_binomial_bounds(n: int, level: float) -> None:
    random = np.random.default_rng(n)
    trials = 4000
    covered = 0
    for _ in range(trials):
        values = np.abs(random.standard_t(2, n + 1))
        quantile = ScoreTable.of(values[:-1], [str(i) for i in range(n)]).quantile(level)
        assert quantile is not None
        covered += bool(np.float32(values[-1]) <= quantile)
    exact = math.ceil((n + 1) * level - 1e-9) / (n + 1)
    assert abs(covered / trials - exact) < 4 * math.sqrt(exact * (1 - exact) / trials)


def test_coverage_of_new_formulas_holds_where_polymorphs_err_alike() -> None:
    random = np.random.default_rng(3)
    trials, covered = 1500, 0
    for _ in range(trials):
        sizes = random.integers(1, 30, 41)
        # Large groups err more: were rows, not formulas, exchangeable, their share would be too high or too low.
        rows = [np.abs(random.normal(0, 1 + size / 10, size)) for size in sizes]
        groups = [str(g) for g, size in enumerate(sizes[:-1]) for _ in range(size)]
        quantile = ScoreTable.of(np.concatenate(rows[:-1]), groups).quantile(0.9)
        assert quantile is not None
        covered += bool(random.choice(rows[-1]) <= quantile)
    assert covered / trials > 0.9 - 4 * math.sqrt(0.09 / trials)


def test_difficulty_finds_what_makes_errors_large_and_never_shrinks_with_distance() -> None:
    random = np.random.default_rng(0)
    features = random.lognormal(0, 1, (2000, 4))
    errors = np.abs(random.laplace(0, 0.1 * features[:, 0] / (0.1 + features[:, 1])))
    fitted = Difficulty.fit(features, errors, np.median(features, axis=0))
    assert fitted.weights[0] == pytest.approx(1.0, abs=0.2)
    assert fitted.weights[1] == 0.0 and fitted.weights[2:].max() < 0.1
    ratio = errors / fitted(features)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    farther = features * np.array([10.0, 10.0, 1.0, 1.0])
    assert (fitted(farther) >= fitted(features)).all()


def test_few_rows_give_one_difficulty_for_all() -> None:
    random = np.random.default_rng(0)
    features = random.lognormal(0, 1, (30, 4))
    few = Difficulty.fit(features, features[:, 0], np.ones(4))
    assert not few.weights.any()
    assert few(features) == pytest.approx(np.full(30, features[:, 0].mean()))
    assert Difficulty.fit(features[:0], np.zeros(0), np.ones(4))(features) == pytest.approx(np.ones(30))
    assert np.isfinite(Difficulty.fit(features, np.zeros(30), np.ones(4))(features)).all()


def test_distances_do_not_depend_on_units_nor_on_what_does_not_vary() -> None:
    random = np.random.default_rng(0)
    rows = (random.normal(size=(300, 4)) @ random.normal(size=(4, 50))).astype(np.float32)
    rows[:, 7] = 3.0
    units = np.float32(10.0) ** random.integers(-3, 4, 50).astype(np.float32)
    first, other = (Projection.fit(each, standardise=True)(each) for each in (rows, rows * units))
    assert first.shape == (300, 4)
    np.testing.assert_allclose(distances(first, first), distances(other, other), atol=2e-2)
    projection = Projection.fit(rows * 1000, standardise=False)
    np.testing.assert_allclose((projection(rows * 1000) ** 2).mean(), 1.0, atol=1e-2)
    strange = rows[:1] * 1000
    strange[0, 7] = -1e6
    np.testing.assert_allclose(projection(strange), projection(rows[:1] * 1000), atol=1e-3)
    constant = Projection.fit(np.ones((5, 3), dtype=np.float32), standardise=True)
    assert not constant(np.full((2, 3), 9.0, dtype=np.float32)).any()


def test_nearest_rows_are_those_of_a_full_sort() -> None:
    random = np.random.default_rng(0)
    asked, reference = (random.normal(size=(n, 6)).astype(np.float32) for n in (7, 40))
    expected = distances(asked, reference)
    rows, found = Points.of(reference).nearest(asked, 5)
    assert rows.tolist() == np.argsort(expected, axis=1, kind="stable")[:, :5].tolist()
    np.testing.assert_allclose(found, np.take_along_axis(expected, rows, axis=1), atol=1e-4)
    assert Points.of(reference).nearest(asked, 99)[0].shape == (7, 40)
    hidden = expected < np.median(expected)
    assert not np.take_along_axis(hidden, Points.of(reference).nearest(asked, 3, hidden)[0], axis=1).any()


def test_similar_elements_lie_close_together() -> None:
    def apart(a: str, b: str) -> float:
        rows = element_coordinates()[[ATOMIC_NUMBERS[a], ATOMIC_NUMBERS[b]]]
        return float(np.linalg.norm(rows[0] - rows[1]))

    assert apart("Na", "K") < apart("Na", "Cl")
    assert apart("Nd", "Pr") < apart("Nd", "O")


def test_the_reference_has_every_element() -> None:
    keys = ["O2Si"] * 5000 + ["PuRh3"] * 2 + ["AcO"]
    chosen = choose_reference(keys, 0)
    assert len(chosen) == MAX_REFERENCE and (np.diff(chosen) > 0).all()
    assert {keys[row] for row in chosen} == set(keys)
    assert choose_reference(keys[:9], 0).tolist() == list(range(9))


def test_families_go_by_the_first_anion() -> None:
    found = [family_of(elements_in(key)) for key in ("BiClO", "ClNa", "S2Zn", "AsGa", "CaH2", "Al3Ni")]
    assert found == [FAMILIES[0], FAMILIES[1], FAMILIES[2], FAMILIES[3], FAMILIES[4], "intermetallics"]


def test_composition_keys_are_read_as_formulas_are() -> None:
    keys = ["O2Si", "Al20Cr2Pr", "Ba", "Fe0.66667O0.33333"]
    expected = [parse_composition(key).fractions() for key in keys]
    np.testing.assert_allclose(fractions_of_keys(keys), expected, atol=1e-12)
