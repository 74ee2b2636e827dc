"""How far candidates are from what is labelled or picked, in the representation of the model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.learning.acquisition.pool import Pool

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Centre:
    """The nearest labelled or picked row: a reference row or a candidate, by its number, and how far it is."""

    reference: int | None
    candidate: int | None
    distance: float


class Cover:
    """Of N candidates: `distances` (N,) to the nearest centre and its number, `centres` (N,).

    Centres are the reference rows of the model, then the candidates that are added.
    """

    def __init__(self, pool: Pool) -> None:
        from scipy.spatial.distance import cdist

        # Distances of a matrix product would be off where rows lie close together.
        self._features = pool.places.features.astype(np.float64)
        reference = pool.trust.reference.places.features.astype(np.float64)
        self._n_reference = len(reference)
        self._added: list[int] = []
        self.is_added = np.zeros(len(pool), dtype=bool)
        self.distances = np.empty(len(pool))
        self.centres = np.empty(len(pool), dtype=np.int64)
        for rows in _pieces(len(pool)):
            away = cdist(self._features[rows], reference)
            self.centres[rows] = away.argmin(axis=1)
            self.distances[rows] = away.min(axis=1)

    def add(self, candidate: int) -> int:
        """Make a candidate a centre; the number of candidates that it is the nearest of."""
        away = np.linalg.norm(self._features - self._features[candidate], axis=1)
        closer = away < self.distances
        closer[candidate] = True
        self.distances = np.where(closer, away, self.distances)
        self.centres = np.where(closer, self._n_reference + len(self._added), self.centres)
        self.is_added[candidate] = True
        self._added.append(candidate)
        return int(closer.sum())

    def nearest(self, candidate: int) -> Centre:
        centre, distance = int(self.centres[candidate]), float(self.distances[candidate])
        if centre < self._n_reference:
            return Centre(centre, None, distance)
        return Centre(None, self._added[centre - self._n_reference], distance)


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, n, _ROWS_AT_ONCE))
