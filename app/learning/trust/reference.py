"""Training rows that an input is compared with: a sample that goes with the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.learning.trust.places import (
    FloatArray,
    Floats,
    IntArray,
    Mask,
    Places,
    Points,
    Projection,
    composition_places,
    fractions_of_keys,
)

MAX_REFERENCE = 2000
N_NEAREST = 5
N_ERRORS = 10
_ROWS_AT_ONCE = 1024
_LEAST_SPACING = 0.1
"""In medians: rows that lie on top of each other must not make everything beside them look far away."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What B inputs look like from the reference.

    `features` (B, 4): distance in the representation, in composition, spread of the nearest labels, mean error of the
    model on the nearest rows. Distances are means over the nearest rows. `novelty` (B,) is how many times farther from
    their nearest rows they lie than these from theirs: the geometric mean of that in the representation and in
    composition.
    """

    features: FloatArray
    novelty: FloatArray


@dataclass(frozen=True, slots=True)
class Reference:
    """R rows: places, formulas, labels in the unit and on the scale of the transform, and the model's absolute errors
    on that scale, each (R,). `spacing` (R, 2) is how far each lies from its nearest, in both spaces."""

    projection: Projection
    places: Places
    by_features: Points
    by_composition: Points
    formulas: Sequence[str]
    labels: FloatArray
    transformed: FloatArray
    errors: FloatArray
    spacing: Floats

    @classmethod
    def of(
        cls, projection: Projection, places: Places, formulas: Sequence[str], labels: FloatArray,
        transformed: FloatArray, errors: FloatArray, spacing: Floats | None = None,
    ) -> "Reference":  # fmt: skip
        """`spacing` is worked out where it is not given."""
        # As they are read back from a file, so that a model answers the same before and after.
        kept = Places(*(part.astype(np.float16).astype(np.float32) for part in (places.features, places.compositions)))
        points = Points.of(kept.features), Points.of(kept.compositions)
        if spacing is None:
            spacing = np.column_stack(
                [_spacing(each, part) for each, part in zip(points, (kept.features, kept.compositions), strict=True)]
            )
        return cls(projection, kept, *points, tuple(formulas), labels, transformed, errors, spacing)

    def locate(self, embeddings: Floats, fractions: FloatArray) -> Places:
        """Feature vectors (B, F) and atomic fractions (B, 101) -> where they lie."""
        return Places(self.projection(embeddings), composition_places(fractions))

    def look(self, places: Places, hidden: Mask | None = None) -> Looks:
        """Of B places. Rows that are `hidden` (B, R) are not there; `N_ERRORS` of them must be left to each."""
        if 0 < len(places) <= _ROWS_AT_ONCE:
            return self._look(places, hidden)
        features, novelty = [np.zeros((0, 4))], [np.zeros(0)]
        for start in range(0, len(places), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            looks = self._look(places.take(rows), None if hidden is None else hidden[rows])
            features.append(looks.features)
            novelty.append(looks.novelty)
        return Looks(np.concatenate(features), np.concatenate(novelty))

    def _look(self, places: Places, hidden: Mask | None) -> Looks:
        rows, near = self.by_features.nearest(places.features, N_ERRORS, hidden)
        errors = self.errors[rows].sum(axis=1) / rows.shape[1]
        rows, near = rows[:, :N_NEAREST], near[:, :N_NEAREST]
        alike, apart = self.by_composition.nearest(places.compositions, N_NEAREST, hidden)
        far, unlike = _mean(near), _mean(apart)
        labels = self.transformed[rows]
        spread = np.sqrt(_mean((labels - _mean(labels)[:, None]) ** 2))
        usual = _mean(self.spacing[rows, 0]) * _mean(self.spacing[alike, 1])
        novelty = np.sqrt(far * unlike / usual, dtype=np.float64)
        return Looks(np.stack([far, unlike, spread, errors], axis=1, dtype=np.float64), novelty)

    def neighbours(self, places: Places, k: int) -> tuple[IntArray, Floats]:
        """The k nearest rows in the representation, nearest first, and their distances, each (B, k)."""
        return self.by_features.nearest(places.features, k)


def _mean(values: Floats | FloatArray) -> FloatArray:
    """(B, k) -> (B,); for few numbers much faster than numpy's own."""
    return np.asarray(np.add.reduce(values, axis=1) / values.shape[1])


def _spacing(points: Points, coordinates: Floats) -> Floats:
    """Mean distance of each of (R, d) from its nearest others, (R,), > 0."""
    itself = np.eye(len(coordinates), dtype=bool)
    near = points.nearest(coordinates, min(N_NEAREST, len(coordinates) - 1), itself)[1]
    spacing = near.mean(axis=1)
    typical = float(np.median(spacing))
    return np.asarray(spacing + np.float32(_LEAST_SPACING * typical if typical > 0 else 1.0))


def choose_reference(keys: Sequence[str], seed: int) -> IntArray:
    """At most MAX_REFERENCE of the rows, sorted: half of them spread over all compositions, the others at random.

    A random sample alone would have hardly any of the simple compounds, which lie at the edges of what is known.
    """
    if len(keys) <= MAX_REFERENCE:
        return np.arange(len(keys))
    order = np.random.default_rng(seed).permutation(len(keys))
    first_row = {keys[row]: int(row) for row in order[::-1]}
    formulas = list(first_row)
    spread = _spread(composition_places(fractions_of_keys(formulas)), MAX_REFERENCE // 2)
    chosen = [first_row[formulas[place]] for place in spread]
    kept = set(chosen)
    chosen += [row for row in order.tolist() if row not in kept][: MAX_REFERENCE - len(chosen)]
    return np.sort(np.array(chosen, dtype=np.int64))


def _spread(points: Floats, n: int) -> IntArray:
    """Rows of (m, d), each the farthest from those before it (Gonzalez 1985), until n or until none is left apart."""
    columns = np.ascontiguousarray(points.T)
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    chosen = [0]
    while len(chosen) < min(n, len(points)):
        squares = np.zeros(len(points), dtype=np.float32)
        for column in columns:
            squares += (column - column[chosen[-1]]) ** 2
        np.minimum(nearest, squares, out=nearest)
        farthest = int(nearest.argmax())
        if nearest[farthest] <= 0:
            break
        chosen.append(farthest)
    return np.array(chosen)
