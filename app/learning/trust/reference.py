"""Training rows that an input is compared with: a sample that goes with the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.learning.trust.families import elements_in
from app.learning.trust.places import (
    FloatArray,
    Floats,
    IntArray,
    Mask,
    Places,
    Projection,
    composition_places,
    distances,
    nearest,
)

MAX_REFERENCE = 2000
N_NEAREST = 5
_N_ERRORS = 10
_ROWS_OF_EACH_ELEMENT = 4
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
    formulas: Sequence[str]
    labels: FloatArray
    transformed: FloatArray
    errors: FloatArray
    spacing: Floats

    @classmethod
    def of(
        cls, projection: Projection, places: Places, formulas: Sequence[str], labels: FloatArray,
        transformed: FloatArray, errors: FloatArray,
    ) -> "Reference":  # fmt: skip
        # As they are read back from a file, so that a model answers the same before and after.
        kept = Places(*(part.astype(np.float16).astype(np.float32) for part in (places.features, places.compositions)))
        spacing = np.column_stack([_spacing(kept.features), _spacing(kept.compositions)])
        return cls(projection, kept, tuple(formulas), labels, transformed, errors, spacing)

    def locate(self, embeddings: Floats, fractions: FloatArray) -> Places:
        """Feature vectors (B, F) and atomic fractions (B, 101) -> where they lie."""
        return Places(self.projection(embeddings), composition_places(fractions))

    def look(self, places: Places, hidden: Mask | None = None) -> Looks:
        """Of B places. Rows that are `hidden` (B, R) are not there."""
        features, novelty = [np.zeros((0, 4))], [np.zeros(0)]
        for start in range(0, len(places), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            looks = self._look(places.take(rows), None if hidden is None else hidden[rows])
            features.append(looks.features)
            novelty.append(looks.novelty)
        return Looks(np.concatenate(features), np.concatenate(novelty))

    def _look(self, places: Places, hidden: Mask | None) -> Looks:
        by_features = distances(places.features, self.places.features)
        by_composition = distances(places.compositions, self.places.compositions)
        if hidden is not None:
            by_features = np.where(hidden, np.float32(np.inf), by_features)
            by_composition = np.where(hidden, np.float32(np.inf), by_composition)
        rows = nearest(by_features, _N_ERRORS)
        errors = self.errors[rows].mean(axis=1)
        rows = rows[:, :N_NEAREST]
        alike = nearest(by_composition, N_NEAREST)
        far = np.take_along_axis(by_features, rows, axis=1).mean(axis=1)
        unlike = np.take_along_axis(by_composition, alike, axis=1).mean(axis=1)
        spread = self.transformed[rows].std(axis=1)
        novelty = np.sqrt(
            far / self.spacing[rows, 0].mean(axis=1) * (unlike / self.spacing[alike, 1].mean(axis=1)), dtype=np.float64
        )
        return Looks(np.column_stack([far, unlike, spread, errors]).astype(np.float64), novelty)

    def neighbours(self, places: Places, k: int) -> tuple[IntArray, Floats]:
        """The k nearest rows in the representation, nearest first, and their distances, each (B, k)."""
        all_distances = distances(places.features, self.places.features)
        rows = nearest(all_distances, k)
        return rows, np.take_along_axis(all_distances, rows, axis=1)


def _spacing(points: Floats) -> Floats:
    """(R, d) -> mean distance of each from its nearest others, (R,), > 0."""
    all_distances = distances(points, points)
    np.fill_diagonal(all_distances, np.inf)
    near = np.take_along_axis(all_distances, nearest(all_distances, min(N_NEAREST, len(points) - 1)), axis=1)
    spacing = near.mean(axis=1)
    typical = float(np.median(spacing))
    return np.asarray(spacing + np.float32(_LEAST_SPACING * typical if typical > 0 else 1.0))


def choose_reference(keys: Sequence[str], seed: int) -> IntArray:
    """At most MAX_REFERENCE of the rows, sorted: a few of each element, the rest at random."""
    if len(keys) <= MAX_REFERENCE:
        return np.arange(len(keys))
    order = np.random.default_rng(seed).permutation(len(keys))
    counts: dict[str, int] = {}
    chosen = []
    for row in order:
        elements = elements_in(keys[row])
        if any(counts.get(element, 0) < _ROWS_OF_EACH_ELEMENT for element in elements):
            chosen.append(row)
            for element in elements:
                counts[element] = counts.get(element, 0) + 1
    kept = set(chosen)
    chosen += [row for row in order if row not in kept][: MAX_REFERENCE - len(chosen)]
    return np.sort(np.array(chosen, dtype=np.int64))
