"""Candidates for measurement as a model sees them: N inputs without labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.learning.targets import apply_transform
from app.learning.trust.assessment import Assessment, Trust
from app.learning.trust.distribution import score_quantiles
from app.learning.trust.places import FloatArray, Floats, IntArray, Places

SAME_PLACE = 0.02
"""Distance in the representation, in spreads of the training data, up to which two inputs of one formula are one.

Places of reference rows are kept as float16, which is off by less.
"""


@dataclass(frozen=True)
class Pool:
    """N candidates of one model: predictions in the unit, difficulties and domain scores, each (N,), formulas."""

    trust: Trust
    values: FloatArray
    difficulties: FloatArray
    novelty: FloatArray
    places: Places
    formulas: Sequence[str]

    @classmethod
    def of(cls, assessments: Sequence[Assessment], formulas: Sequence[str]) -> "Pool":
        """At least one assessment, all by the same model; `formulas` are composition keys."""
        return cls(
            assessments[0].trust,
            np.array([each.value for each in assessments]),
            np.array([each.difficulty for each in assessments]),
            np.array([each.score for each in assessments]),
            Places(
                np.concatenate([each.places.features for each in assessments]),
                np.concatenate([each.places.compositions for each in assessments]),
            ),
            formulas,
        )

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: IntArray) -> "Pool":
        return Pool(
            self.trust, self.values[rows], self.difficulties[rows], self.novelty[rows], self.places.take(rows),
            [self.formulas[row] for row in rows.tolist()],
        )  # fmt: skip

    @cached_property
    def learned(self) -> FloatArray:
        """Predictions on the scale the model learns, (N,)."""
        return apply_transform(self.values, self.trust.transform)

    @cached_property
    def scores(self) -> FloatArray:
        """Absolute errors over difficulties at evenly spaced quantiles, sorted, (M,)."""
        return score_quantiles(self.trust.scores)

    @cached_property
    def expected_errors(self) -> FloatArray:
        """Expected absolute errors on the scale the model learns, (N,)."""
        return np.asarray(self.difficulties * self.scores.mean())

    def known(self) -> dict[int, int]:
        """Candidates that the model was trained on, each with its reference row: one formula and one place."""
        reference = self.trust.reference
        return self._found_among(reference.formulas, reference.places.features)

    def held_out(self) -> dict[int, int]:
        """Candidates whose label the model was chosen or measured by, each with its row of those that were held out."""
        return self._found_among(self.trust.held_out.formulas, self.trust.held_out.features)

    def _found_among(self, formulas: Sequence[str], places: Floats) -> dict[int, int]:
        rows_of: dict[str, list[int]] = {}
        for row, formula in enumerate(formulas):
            rows_of.setdefault(formula, []).append(row)
        found = {}
        for candidate, formula in enumerate(self.formulas):
            same = self._same(candidate, places, rows_of.get(formula, []))
            if same is not None:
                found[candidate] = same
        return found

    def repeats(self) -> dict[int, int]:
        """Candidates that the model cannot tell from an earlier one of the same formula, each with that one."""
        earlier: dict[str, list[int]] = {}
        found = {}
        for candidate, formula in enumerate(self.formulas):
            firsts = earlier.setdefault(formula, [])
            same = self._same(candidate, self.places.features, firsts)
            if same is None:
                firsts.append(candidate)
            else:
                found[candidate] = same
        return found

    def _same(self, candidate: int, places: Floats, rows: Sequence[int]) -> int | None:
        """The one of the rows of `places` that lies where the candidate does."""
        if not rows:
            return None
        away = np.linalg.norm(places[rows] - self.places.features[candidate], axis=1)
        return rows[int(away.argmin())] if away.min() <= SAME_PLACE else None
