"""From rows that a model was not trained on to its intervals and its domain.

The difficulty is fitted to validation rows (of classical models, to rows held out in cross-validation); the width of
intervals is then set by test rows, which nothing else has seen.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.learning.trust.assessment import Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import Difficulty
from app.learning.trust.families import elements_in
from app.learning.trust.places import FloatArray, IntArray, Mask
from app.learning.trust.reference import N_ERRORS, N_NEAREST, Reference
from app.learning.trust.rows import AnsweredRows
from app.properties.catalogue import Transform

REPORTED_LEVEL = 0.9
_HALVED_FROM = 1000
"""With so many test rows one half sets the width of intervals and the other measures them; with fewer, all set it."""
_N_FOLDS = 10
_TOO_FEW = 20
"""With fewer test rows, those that the difficulty was fitted to set the width of intervals too."""
_INSIDE = 0.98
_ROWS_OF_EACH_ELEMENT = 10


@dataclass(frozen=True, slots=True)
class Calibrated:
    """`trust` for the model, and what it rests on.

    Of the test rows (n,): `difficulties` and `novelty`. Rows `measured` (m,) of them tell the coverage, each
    with the one of `quantiles` (m,) that other rows gave; NaN where those were too few. `left_out` is the
    novelty of rows with an element that their reference lacks. `pooled`: fitting rows set the width too.
    """

    trust: Trust
    difficulties: FloatArray
    novelty: FloatArray
    measured: Sequence[int]
    quantiles: FloatArray
    n_calibration: int
    left_out: FloatArray
    pooled: bool


def calibrate(
    reference: Reference,
    fitting: AnsweredRows,
    test: AnsweredRows,
    fitting_groups: Sequence[str],
    groups: Sequence[str],
    transform: Transform,
    bounds: tuple[float, float],
) -> Calibrated:
    """Intervals and domain of a model; at least one test row.

    `fitting` rows (which may be training rows that were held out for the purpose) say where errors are large; they
    and the test rows belong to groups that are exchangeable. `bounds` are those of the property, in its unit.
    """
    looks = reference.look(reference.locate(test.embeddings, test.fractions))
    difficulty = _difficulty(reference, fitting, looks.features)
    difficulties = difficulty(looks.features)
    scores = test.errors / difficulties
    pooled = len(test) < _TOO_FEW and len(fitting) > 0 and not difficulty.weights.any()
    extra = fitting.errors / np.exp(difficulty.intercept) if pooled else np.zeros(0)
    parts = parts_of_groups(groups)
    chosen = np.flatnonzero(parts == 0) if len(test) >= _HALVED_FROM else np.arange(len(test))
    table = _table(scores, groups, chosen, extra, fitting_groups)
    measured, quantiles = _measured(scores, groups, parts, extra, fitting_groups)
    left_out = _left_out(reference)
    limit = _limit(looks.novelty, left_out)
    trust = Trust(transform, *bounds, reference, difficulty, table, limit)
    return Calibrated(trust, difficulties, looks.novelty, measured, quantiles, len(table.scores), left_out, pooled)


def _difficulty(reference: Reference, fitting: AnsweredRows, seen: FloatArray) -> Difficulty:
    """From the fitting rows that have enough reference rows of other formulas to be compared with.

    Of polymorphs of one formula none has: then it is the same for all, on the scale of the features `seen` (n, 4).
    """
    hidden = _itself(reference, fitting)
    kept = np.flatnonzero((~hidden).sum(axis=1) >= N_ERRORS)
    if not len(kept):
        return Difficulty.equal(fitting.errors, _medians(seen))
    rows = fitting.take(kept)
    features = reference.look(reference.locate(rows.embeddings, rows.fractions), hidden[kept]).features
    return Difficulty.fit(features, rows.errors, _medians(features))


def _medians(features: FloatArray) -> FloatArray:
    medians = np.median(features, axis=0)
    return np.where(medians > 0, medians, 1.0)


def _itself(reference: Reference, rows: AnsweredRows) -> Mask:
    """Reference rows of the same formula as each of the rows, (n, R): a training row must not be its own neighbour."""
    known = np.array(reference.formulas)
    return np.array([known == key for key in rows.keys], dtype=bool).reshape(len(rows), len(known))


def parts_of_groups(groups: Sequence[str]) -> IntArray:
    """Part of each row, by group alone: of many rows halves (0 sets the width, 1 measures), else tenths."""
    n_parts = 2 if len(groups) >= _HALVED_FROM else _N_FOLDS
    names = sorted(set(groups), key=lambda name: hashlib.blake2b(f"part:{name}".encode(), digest_size=8).digest())
    part = {name: index % n_parts for index, name in enumerate(names)}
    return np.array([part[name] for name in groups], dtype=np.int64)


def _table(
    scores: FloatArray, groups: Sequence[str], chosen: IntArray,
    extra: FloatArray, extra_groups: Sequence[str],
) -> ScoreTable:  # fmt: skip
    names = [groups[row] for row in chosen.tolist()] + (list(extra_groups) if len(extra) else [])
    return ScoreTable.of(np.concatenate([scores[chosen], extra]), names)


def _measured(
    scores: FloatArray, groups: Sequence[str], parts: IntArray,
    extra: FloatArray, extra_groups: Sequence[str],
) -> tuple[list[int], FloatArray]:  # fmt: skip
    """Rows that measure, and the quantile that the rows of other parts give each of them."""
    rows: list[int] = []
    quantiles: list[float] = []
    for part in [1] if len(scores) >= _HALVED_FROM else range(_N_FOLDS):
        held, others = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        if not len(held) or len(others) + len(extra) == 0:
            continue
        quantile = _table(scores, groups, others, extra, extra_groups).quantile(REPORTED_LEVEL)
        rows += held.tolist()
        quantiles += [np.nan if quantile is None else quantile] * len(held)
    return rows, np.array(quantiles)


def _left_out(reference: Reference) -> FloatArray:
    """Novelty of reference rows beside those that lack one of their elements, (m,): chemistry never seen."""
    elements = [elements_in(formula) for formula in reference.formulas]
    found = [np.zeros(0)]
    for element in sorted(set().union(*elements)):
        has = np.array([element in each for each in elements])
        rows = np.flatnonzero(has)[:_ROWS_OF_EACH_ELEMENT]
        if (~has).sum() >= 2 * N_NEAREST:
            found.append(
                reference.look(reference.places.take(rows), np.broadcast_to(has, (len(rows), len(has)))).novelty
            )
    return np.concatenate(found)


def _limit(inside: FloatArray, outside: FloatArray) -> float:
    """The novelty that tells both apart best (Youden's index) of those that keep 98 % of the test rows inside."""
    lowest = float(np.quantile(inside, _INSIDE, method="higher"))
    candidates = np.unique(np.concatenate([[lowest], inside[inside > lowest], outside[outside > lowest]]))
    within = np.searchsorted(np.sort(inside), candidates, side="right") / len(inside)
    beyond = 1.0 - np.searchsorted(np.sort(outside), candidates, side="right") / max(len(outside), 1)
    best = float(candidates[int(np.argmax(within + beyond))]) if len(outside) else lowest
    return best if best > 0 else 1.0
