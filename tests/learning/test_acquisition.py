"""Candidates are ranked as the strategies say, on places and errors made by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.learning.acquisition.pool import SAME_PLACE, Pool
from app.learning.acquisition.ranking import farthest, representatives, suggest
from app.learning.acquisition.strategy import Optimum, Strategy
from app.learning.acquisition.target import Target, improvements, margins, probabilities
from app.learning.trust.assessment import HeldOut, Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import N_FEATURES, Difficulty
from app.learning.trust.distribution import probability_within
from app.learning.trust.places import Places, Projection
from app.learning.trust.reference import Reference
from app.properties.catalogue import Transform

SCORES = np.random.default_rng(3).exponential(size=500)
KNOWN = [[0.0, 0.0], [1.0, 0.0]]


def pool(
    places: npt.ArrayLike,
    difficulties: npt.ArrayLike | None = None,
    *,
    values: npt.ArrayLike | None = None,
    novelty: npt.ArrayLike | None = None,
    formulas: Sequence[str] | None = None,
    known: npt.ArrayLike = KNOWN,
    transform: Transform = Transform.IDENTITY,
) -> Pool:
    """Candidates at these places (N, 2); reference rows at `known`, labelled 1, 2, ... and called R0, R1, ..."""
    at, reference = np.array(places, dtype=np.float32), np.array(known, dtype=np.float32)
    n, n_known = len(at), len(reference)
    labels = np.arange(1.0, n_known + 1)
    trust = Trust(
        transform, -np.inf, np.inf,
        Reference.of(
            Projection(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)), Places(reference, reference),
            [f"R{row}" for row in range(n_known)], labels, np.log10(labels) if transform is Transform.LOG10 else labels,
            np.zeros(n_known),
        ),
        Difficulty(np.ones(N_FEATURES), np.zeros(N_FEATURES), 0.0),
        ScoreTable.of(SCORES, [str(row) for row in range(len(SCORES))]), 1.0,
    )  # fmt: skip
    ones = np.ones(n)
    return Pool(
        trust,
        ones if values is None else np.array(values, dtype=np.float64),
        ones if difficulties is None else np.array(difficulties, dtype=np.float64),
        ones if novelty is None else np.array(novelty, dtype=np.float64),
        Places(at, at),
        [f"C{row}" for row in range(n)] if formulas is None else formulas,
    )


def order(candidates: Pool, strategy: Strategy, k: int = 100, **wishes: Any) -> list[int]:
    return [pick.candidate for pick in suggest(candidates, strategy, k, **wishes)]


def scattered(n: int, seed: int = 0) -> Pool:
    random = np.random.default_rng(seed)
    return pool(random.normal(size=(n, 2)), random.uniform(0.5, 2.0, n), values=random.normal(size=n))


def test_uncertainty_goes_by_expected_error_then_by_novelty_then_by_place() -> None:
    candidates = pool(np.zeros((5, 2)), [1, 3, 2, 3, 3], novelty=[9, 1, 9, 2, 1])
    assert order(candidates, Strategy.UNCERTAINTY) == [3, 1, 4, 2, 0]
    assert order(candidates, Strategy.UNCERTAINTY, 2) == [3, 1]


def test_expected_errors_are_those_that_the_scores_promise() -> None:
    assert pool([[0, 0], [0, 0]], [1.0, 2.0]).expected_errors == pytest.approx(
        SCORES.mean() * np.array([1, 2]), rel=0.05
    )


def test_diversity_stays_away_from_labels_and_from_what_was_picked() -> None:
    candidates = pool([[1.5, 0.0], [9.0, 0.0], [9.1, 0.0], [0.0, 5.0]])
    picks = farthest(candidates, 4)
    # 1 is nearly where 2 is, so it comes after all that lies elsewhere and is farther from a label.
    assert [pick.candidate for pick in picks] == [2, 3, 0, 1]
    assert [pick.score for pick in picks] == pytest.approx([8.1, 5.0, 0.5, 0.1], abs=1e-5)
    first, last = picks[0].nearest, picks[3].nearest
    assert first is not None and (first.reference, first.candidate) == (1, None)
    assert last is not None and (last.reference, last.candidate) == (None, 2)


def test_a_batch_prefers_what_speaks_for_many_to_a_lone_stranger() -> None:
    random = np.random.default_rng(1)
    crowd = np.array([6.0, 0.0]) + 0.2 * random.normal(size=(30, 2))
    candidates = pool(np.vstack([crowd, [[-9.0, 0.0]]]))
    assert order(candidates, Strategy.DIVERSITY, 1) == [30]
    picks = suggest(candidates, Strategy.BATCH, 2)
    assert picks[0].candidate < 30 and picks[0].speaks_for == 30
    assert picks[1].candidate == 30 and picks[1].speaks_for == 1
    assert picks[0].score > picks[1].score > 0.01


def test_a_batch_goes_where_the_model_errs() -> None:
    places = [[0.0, 5.0], [0.0, 5.2], [1.0, -5.0], [1.0, -5.2]]
    alike = representatives(pool(places), np.ones(4), 1)[0].candidate
    # Both pairs weigh the same without errors; of equals the earlier cluster comes first.
    assert alike in (0, 1)
    assert suggest(pool(places, [1, 1, 3, 3]), Strategy.BATCH, 1)[0].candidate in (2, 3)


@pytest.mark.parametrize("strategy", [Strategy.BATCH, Strategy.DIVERSITY, Strategy.UNCERTAINTY])
def test_everything_is_suggested_once_whatever_lies_where(strategy: Strategy) -> None:
    places = np.repeat([[0.0, 0.0], [3.0, 3.0], [1.0, 0.0]], 4, axis=0)
    assert sorted(order(pool(places), strategy, 50)) == list(range(12))


def test_a_batch_of_all_takes_all_there_is() -> None:
    picks = suggest(scattered(40), Strategy.BATCH, 40)
    assert sum(pick.score for pick in picks) == pytest.approx(1.0)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_the_order_of_the_candidates_does_not_matter(strategy: Strategy) -> None:
    wishes = {"target": Target(above=0.3)} if strategy is Strategy.TARGET else {}
    candidates, shuffle = scattered(60), np.random.default_rng(5).permutation(60)
    first = order(candidates, strategy, 15, **wishes)
    assert [int(shuffle[row]) for row in order(candidates.take(shuffle), strategy, 15, **wishes)] == first
    assert order(candidates, strategy, 15, **wishes) == first


def test_probabilities_are_those_of_symmetric_errors_of_the_known_sizes() -> None:
    random = np.random.default_rng(7)
    candidates = pool(np.zeros((4, 2)), [1.0, 1.0, 0.5, 2.0], values=[0.0, 1.0, 0.0, -1.0])
    errors = random.choice(SCORES, 200_000) * random.choice([-1.0, 1.0], 200_000)
    labels = candidates.values[:, None] + candidates.difficulties[:, None] * errors
    for target, is_met in (
        (Target(above=0.5), labels > 0.5),
        (Target(below=0.5), labels < 0.5),
        (Target(above=-0.5, below=0.5), (labels > -0.5) & (labels < 0.5)),
    ):
        assert probabilities(candidates, target) == pytest.approx(is_met.mean(axis=1), abs=0.01)
    best = candidates.trust.reference.labels.max()
    expected = np.maximum(labels - best, 0.0).mean(axis=1)
    assert improvements(candidates, Optimum.HIGHEST) == pytest.approx(expected, rel=0.05, abs=1e-3)
    lowest = np.maximum(candidates.trust.reference.labels.min() - labels, 0.0).mean(axis=1)
    assert improvements(candidates, Optimum.LOWEST) == pytest.approx(lowest, rel=0.05, abs=1e-3)


def test_nothing_is_hoped_for_beyond_what_the_property_can_be() -> None:
    candidates = pool(np.zeros((3, 2)), [0.1, 0.1, 2.0], values=[0.5, 1.2, 0.1])
    bounded = replace(candidates, trust=replace(candidates.trust, lower=1.0, upper=2.0))
    # The reference rows are labelled 1 and 2, which nothing can exceed.
    assert list(improvements(bounded, Optimum.LOWEST)) == list(improvements(bounded, Optimum.HIGHEST)) == [0, 0, 0]
    assert improvements(candidates, Optimum.LOWEST).min() > 0
    for impossible in (Target(above=2.0), Target(below=1.0), Target(above=5.0), Target(below=-1.0)):
        assert list(probabilities(bounded, impossible)) == [0, 0, 0]
    for certain in (Target(above=0.5), Target(below=2.5), Target(above=0.0, below=9.0)):
        assert list(probabilities(bounded, certain)) == [1, 1, 1]
    positive = replace(candidates, trust=replace(candidates.trust, lower=0.0))
    assert 0.5 < probabilities(positive, Target(above=0.0))[2] < 0.6


def test_what_lies_on_a_bound_is_not_above_it_and_is_at_least_it() -> None:
    candidates = pool(np.zeros((2, 2)), [1.0, 1.0], values=[0.0, 2.0])
    metals = replace(candidates.trust, lower=0.0, upper=3.0)

    def chances(at_least: float | None, at_most: float | None, strictly: bool) -> list[float]:
        parts = metals, candidates.values, candidates.difficulties
        return list(probability_within(*parts, at_least, at_most, strictly))

    assert chances(0.0, None, strictly=False) == chances(None, 3.0, strictly=False) == [1, 1]
    assert chances(3.5, None, strictly=False) == chances(None, -0.5, strictly=False) == [0, 0]
    assert chances(3.0, None, strictly=True) == chances(None, 0.0, strictly=True) == [0, 0]
    assert chances(0.0, None, strictly=True)[0] == pytest.approx(0.5) == chances(None, 0.0, strictly=False)[0]
    assert 0 < chances(3.0, None, strictly=False)[1] < 0.5


def test_half_of_the_labels_lie_above_the_prediction() -> None:
    assert probabilities(pool([[0, 0]], values=[2.0]), Target(above=2.0)) == pytest.approx([0.5])


def test_logarithms_are_taken_of_values_and_bounds() -> None:
    candidates = pool(np.zeros((2, 2)), values=[10.0, 1000.0], transform=Transform.LOG10)
    above, below = probabilities(candidates, Target(above=100.0)), probabilities(candidates, Target(below=100.0))
    assert above[0] == pytest.approx(below[1]) and above[1] > 0.5 > above[0]


def test_of_equal_probabilities_the_one_deeper_inside_comes_first() -> None:
    far = float(SCORES.max()) * 10
    candidates = pool(np.zeros((3, 2)), values=[far, 3 * far, 2 * far])
    # Of 500 rows none can tell more.
    assert list(probabilities(candidates, Target(above=0.0))) == pytest.approx(3 * [0.5 + 0.5 * 500 / 501])
    assert order(candidates, Strategy.TARGET, target=Target(above=0.0)) == [1, 2, 0]
    assert order(candidates, Strategy.TARGET, target=Target(above=0.0, below=4.5 * far)) == [2, 1, 0]
    assert margins(candidates, Target(optimum=Optimum.LOWEST)).argmax() == 0


def test_an_unsure_candidate_may_be_the_best_hope() -> None:
    candidates = pool(np.zeros((2, 2)), [0.1, 5.0], values=[1.9, 1.0])
    assert order(candidates, Strategy.TARGET, 1, target=Target(optimum=Optimum.HIGHEST)) == [1]
    assert order(candidates, Strategy.TARGET, 1, target=Target(above=1.5)) == [0]


def test_rows_of_the_training_data_are_known_by_formula_and_place() -> None:
    near = SAME_PLACE / 2
    candidates = pool(
        [[0.0, 0.0], [1.0, near], [1.0, 0.0], [1.0, 3 * SAME_PLACE], [0.3, 0.3]],
        formulas=["R0", "R1", "Other", "R1", "R1"],
    )
    assert candidates.known() == {0: 0, 1: 1}


def test_held_out_rows_are_known_by_formula_and_place() -> None:
    candidates = pool([[0.0, 0.0], [3.0, 4.0], [3.0, 4.1], [3.0, 4.0]], formulas=["R0", "T", "T", "Other"])
    assert candidates.held_out() == {}
    held_out = HeldOut(["T", "T"], np.array([[9.0, 9.0], [3.0, 4.0]], dtype=np.float32))
    measured = replace(candidates, trust=replace(candidates.trust, held_out=held_out))
    assert measured.held_out() == {1: 1} and measured.known() == {0: 0}


def test_float16_places_of_training_rows_are_found_again() -> None:
    places = 30.0 * np.random.default_rng(2).normal(size=(50, 2))
    found = pool(places, known=places, formulas=[f"R{row}" for row in range(50)]).known()
    assert found == {row: row for row in range(50)}


def test_repeats_are_those_of_one_formula_in_one_place_and_the_first_stays() -> None:
    candidates = pool([[5, 5], [5, 5.001], [5, 5], [7, 7], [5, 5]], formulas=["A", "A", "B", "A", "A"])
    assert candidates.repeats() == {1: 0, 4: 0}
