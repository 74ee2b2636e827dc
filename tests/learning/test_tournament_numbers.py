"""Weights, p-values and verdicts of a tournament against cases computed by hand."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from app.learning.tournament.combining import combination_weights, nested_combination
from app.learning.tournament.evidence import compare, corrected_p_value, fold_errors, row_p_value
from app.learning.tournament.report import more_data

LABELS = np.array([1.0, 2.0, 4.0, 7.0, 3.0, 9.0])


def off_by(*offsets: float) -> npt.NDArray[np.float64]:
    """Predictions (6, M) of entrants that are all wrong by as much on every row."""
    return np.stack([LABELS + offset for offset in offsets], axis=1)


@pytest.mark.parametrize(
    ("offsets", "weights"),
    [
        ((0.5, 0.0, -0.1), (0.0, 1.0, 0.0)),  # a perfect one needs no other
        ((1.0, -1.0), (0.5, 0.5)),  # 1 - 1 = 0
        ((1.0, -3.0), (0.75, 0.25)),  # 3 * 1 - 3 = 0
        ((1.0, -39.0), (1.0, 0.0)),  # the best share, 1/40, is less than a member is worth
        ((0.2, 0.4, 0.3), (1.0, 0.0, 0.0)),  # all err to one side: the nearest alone
    ],
)
def test_weights(offsets: tuple[float, ...], weights: tuple[float, ...]) -> None:
    found = combination_weights(off_by(*offsets), LABELS)
    np.testing.assert_allclose(found, weights, atol=1e-12)
    assert found.sum() == pytest.approx(1.0)


def test_entrants_that_err_differently_are_better_together() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=300)
    predictions = labels[:, None] + random.normal(size=(300, 3)) * np.array([0.3, 0.3, 0.35])
    weights = combination_weights(predictions, labels)
    alone = np.abs(predictions - labels[:, None]).mean(axis=0)
    assert (weights > 0.1).all()
    assert np.abs(predictions @ weights - labels).mean() < 0.8 * alone.min()


def test_a_fold_has_no_say_in_the_weights_that_predict_it() -> None:
    random = np.random.default_rng(1)
    labels, fold_of = random.normal(size=60), np.arange(60) % 3
    predictions = labels[:, None] + random.normal(size=(60, 3))
    found = nested_combination(predictions, labels, fold_of)
    for fold in range(3):
        own = fold_of == fold
        expected = predictions[own] @ combination_weights(predictions[~own], labels[~own])
        np.testing.assert_array_equal(found[own], expected)
        other_labels = np.where(own, 1e6 * random.normal(size=60), labels)
        changed = nested_combination(predictions, other_labels, fold_of)
        np.testing.assert_array_equal(changed[own], found[own])
        assert not np.array_equal(changed[~own], found[~own])


def student_p_of_4(t: float) -> float:
    """Two-sided p of Student's t with four degrees of freedom, in closed form."""
    x = t / math.sqrt(4 + t * t)
    return 1 - (1.5 * x - 0.5 * x**3)


def test_the_corrected_t_test_of_nadeau_and_bengio() -> None:
    first, second = np.array([1.1, 1.2, 1.3, 1.2, 1.2]), np.ones(5)
    # mean 0.2, sample variance 0.005; the correction is 1/5 + n_test/n_train = 1/5 + 1/4.
    t = 0.2 / math.sqrt(0.45 * 0.005)
    assert t == pytest.approx(4.216, abs=1e-3)
    assert corrected_p_value(first, second) == pytest.approx(student_p_of_4(t), rel=1e-9)
    assert corrected_p_value(second, first) == pytest.approx(student_p_of_4(t), rel=1e-9)
    uncorrected = student_p_of_4(0.2 / math.sqrt(0.005 / 5))
    assert corrected_p_value(first, second) > 3 * uncorrected


def test_equal_errors_are_no_evidence() -> None:
    errors = np.array([0.1, 0.2, 0.3])
    assert corrected_p_value(errors, errors) == 1.0
    assert corrected_p_value(errors + 0.5, errors) == pytest.approx(0.0, abs=1e-12)
    assert row_p_value(errors, errors, ["a", "b", "c"]) == 1.0


def test_rows_of_one_formula_count_once() -> None:
    better = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    groups = ["A", "B", "C", "D", "E", "F"]
    # All six signs equal: 2 of the 2^6 patterns are as extreme.
    assert row_p_value(better + better, better, groups) == pytest.approx(2 / 64)
    repeated = np.concatenate([better, np.full(30, 0.6)])
    assert row_p_value(repeated + repeated, repeated, groups + ["F"] * 30) == pytest.approx(2 / 64)
    assert row_p_value(repeated + repeated, repeated, [str(row) for row in range(36)]) < 1e-6


def test_errors_by_fold() -> None:
    errors, fold_of = np.array([1.0, 2.0, 3.0, 5.0]), np.array([0, 1, 0, 1])
    np.testing.assert_allclose(fold_errors(errors, fold_of), [2.0, 3.5])


def test_a_comparison_in_words() -> None:
    random = np.random.default_rng(2)
    errors, fold_of = random.uniform(0.5, 1.0, 100), np.arange(100) % 5
    groups = [str(row) for row in range(100)]
    better = compare("forest", 0.8 * errors, "mean", errors, fold_of, groups)
    assert better.is_better and better.gain == pytest.approx(0.2)
    assert "forest is 20.0% better than mean" in better.text and "noise" not in better.text
    worse = compare("mean", errors, "forest", 0.8 * errors, fold_of, groups)
    assert not worse.is_better and "25.0% worse" in worse.text
    noisy = compare("one", errors, "other", random.permutation(errors), fold_of, groups)
    assert not noisy.is_better and "within noise" in noisy.text


def test_ranks_that_speak_for_the_other_one_are_no_evidence() -> None:
    """A little worse on nine rows of ten, much better on the tenth: the mean is better, and it is not shown to be."""
    rare = np.arange(200) % 10 == 0
    errors, other = np.where(rare, 0.5, 0.11), np.where(rare, 1.0, 0.10)
    found = compare("one", errors, "other", other, np.arange(200) % 5, [str(row) for row in range(200)])
    assert found.gain > 0.2 and found.p_rows > 0.5 and not found.is_better and "within noise" in found.text


def test_what_more_data_would_bring_is_read_from_the_last_doubling() -> None:
    curve = [{"n_train": n, "mae": 2.0, "mae_transformed": 2.0 - n / 100} for n in (25.0, 50.0, 75.0, 100.0)]
    assert more_data(curve)[0].startswith("From 50 to 100 training rows the best regressor's error fell by 33%")
    assert more_data(curve[:2])[0].startswith("From 25 to 50")
    assert more_data(curve[:1]) == more_data([]) == []
