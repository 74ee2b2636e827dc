"""How likely each candidate is to meet the constraints, and what is expected of its objectives.

Dimensions: N candidates, C constraints, O objectives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.learning.trust.assessment import Trust
from app.learning.trust.distribution import expected_value, probability_within
from app.learning.trust.places import FloatArray, IntArray
from app.screening.predicted import Predicted
from app.screening.wish import Constraint, Goal, Joint, Objective, ScreeningWish


@dataclass(frozen=True, slots=True)
class Scores:
    """`probabilities` (N, C) of each constraint; `joint` (N,) of all, `at_least` (N,) the lowest it can be.

    `expected` (N, O) is the mean value of each objective's property, in its unit, or of its distance from the target;
    `costs` (N, O) are the same, to be small. NaN for candidates without a value.
    """

    probabilities: FloatArray
    joint: FloatArray
    at_least: FloatArray
    expected: FloatArray
    costs: FloatArray


def score(found: Predicted, keys: Sequence[str], trusts: Sequence[Trust | None], wish: ScreeningWish) -> Scores:
    """`keys` are the properties of the columns, `trusts` what their models know of their errors.

    Without that, or where an error is not known, the prediction is taken as it is: a probability is 0 or 1.
    """
    n = len(found)
    probabilities = np.ones((n, len(wish.constraints)))
    for place, constraint in enumerate(wish.constraints):
        column = keys.index(constraint.property)
        probabilities[:, place] = _met(found, column, trusts[column], constraint)
    at_least = np.maximum(0.0, probabilities.sum(axis=1) - (len(wish.constraints) - 1))
    joint = probabilities.prod(axis=1) if wish.joint is Joint.INDEPENDENT else at_least
    expected = np.empty((n, len(wish.objectives)))
    for place, objective in enumerate(wish.objectives):
        column = keys.index(objective.property)
        expected[:, place] = _expected(found, column, trusts[column], objective)
    signs = np.array([-1.0 if each.goal is Goal.MAXIMISE else 1.0 for each in wish.objectives])
    return Scores(probabilities, joint, at_least, expected, expected * signs)


def _met(found: Predicted, column: int, trust: Trust | None, constraint: Constraint) -> FloatArray:
    values = found.values[:, column]
    known = _known(found, column, trust)
    low = -np.inf if constraint.at_least is None else constraint.at_least
    high = np.inf if constraint.at_most is None else constraint.at_most
    met = np.where(np.isnan(values), np.nan, ((values >= low) & (values <= high)).astype(np.float64))
    if trust is not None:
        met[known] = probability_within(
            trust, values[known], found.difficulties[known, column], constraint.at_least, constraint.at_most
        )
    return met


def _expected(found: Predicted, column: int, trust: Trust | None, objective: Objective) -> FloatArray:
    values = found.values[:, column]
    known = _known(found, column, trust)
    expected = values.copy() if objective.target is None else np.abs(values - objective.target)
    if trust is not None:
        expected[known] = expected_value(trust, values[known], found.difficulties[known, column], objective.target)
    return expected


def _known(found: Predicted, column: int, trust: Trust | None) -> IntArray:
    """Candidates whose error is."""
    if trust is None:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.isfinite(found.values[:, column]) & np.isfinite(found.difficulties[:, column]))
