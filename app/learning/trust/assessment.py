"""How far a prediction can be trusted: its interval, whether its input is like the training data, and what is near."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from app.learning.targets import apply_transform, invert_transform
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import Difficulty
from app.learning.trust.places import FloatArray, Floats, Places
from app.learning.trust.reference import Reference
from app.properties.catalogue import Transform


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A training row: `distance` in the representation, in spreads of the training data, `label` in the unit."""

    formula: str
    distance: float
    label: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Rows with labels that a model did not train on: H formulas, and where they lie in the representation (H, d)."""

    formulas: Sequence[str] = ()
    features: Floats = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Trust:
    """What a model knows of its own errors.

    `lower` and `upper` bound what a value may physically be. `limit` is the novelty up to which an input counts as
    like the training data. `held_out` are validation and test rows, where the file has them: their labels are known.
    """

    transform: Transform
    lower: float
    upper: float
    reference: Reference
    difficulty: Difficulty
    scores: ScoreTable
    limit: float
    held_out: HeldOut = field(default_factory=HeldOut)

    def assess(self, embeddings: Floats, fractions: FloatArray, values: FloatArray) -> "list[Assessment | None]":
        """Of inputs with feature vectors (B, F), atomic fractions (B, 101) and predictions in the unit (B,).

        None where a number is not finite.
        """
        places = self.reference.locate(embeddings, fractions)
        looks = self.reference.look(places)
        difficulties = self.difficulty(looks.features)
        scores = looks.novelty / self.limit
        finite = np.isfinite(values) & np.isfinite(difficulties) & np.isfinite(scores)
        return [
            Assessment(self, value, difficulty, score, places.take(slice(i, i + 1))) if finite[i] else None
            for i, (value, difficulty, score) in enumerate(
                zip(values.tolist(), difficulties.tolist(), scores.tolist(), strict=True)
            )
        ]

    def interval(
        self, values: FloatArray, difficulties: FloatArray, level: float
    ) -> tuple[FloatArray, FloatArray] | None:
        """Lower and upper ends in the unit, each (B,); None for a level beyond `scores.highest_level`.

        Made on the scale of the transform and mapped back, then cut at the physical bounds, which no value crosses.
        """
        quantile = self.scores.quantile(level)
        if quantile is None:
            return None
        return self.ends(values, quantile * difficulties)

    def intervals(
        self, assessments: "Sequence[Assessment]", level: float
    ) -> list[tuple[float, float]] | list[tuple[None, None]]:
        """The intervals of many predictions at once, as `Assessment.interval` gives them one by one."""
        values = np.array([each.value for each in assessments])
        ends = self.interval(values, np.array([each.difficulty for each in assessments]), level)
        if ends is None:
            return [(None, None)] * len(assessments)
        return list(zip(ends[0].tolist(), ends[1].tolist(), strict=True))

    def ends(self, values: FloatArray, reach: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Ends in the unit of intervals that reach so far on the scale of the transform; all (B,)."""
        centre = apply_transform(values, self.transform)
        lower, upper = (invert_transform(centre + sign * reach, self.transform) for sign in (-1.0, 1.0))
        return np.clip(lower, self.lower, self.upper), np.clip(upper, self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class Assessment:
    """Of one prediction, `value` in the unit. `score` is 1 at the limit of what is like the training data."""

    trust: Trust
    value: float
    difficulty: float
    score: float
    places: Places

    @property
    def in_domain(self) -> bool:
        return self.score <= 1.0

    def interval(self, level: float) -> tuple[float, float] | None:
        """As `Trust.interval`."""
        ends = self.trust.interval(np.array([self.value]), np.array([self.difficulty]), level)
        return None if ends is None else (float(ends[0][0]), float(ends[1][0]))

    def neighbours(self, k: int) -> Sequence[Neighbour]:
        """The k nearest of the training rows that go with the model, nearest first."""
        reference = self.trust.reference
        rows, found = reference.neighbours(self.places, k)
        return [
            Neighbour(reference.formulas[row], float(distance), float(reference.labels[row]))
            for row, distance in zip(rows[0], found[0], strict=True)
        ]
