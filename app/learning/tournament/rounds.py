"""The tournament itself: all entrants meet in the first fold, the better ones go on."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob, XtalforgeError
from app.learning.baselines.search import Watch
from app.learning.tournament.entrants import NetworkEntrant, RegressorEntrant
from app.learning.tournament.fitting import Course, NetworkFits, RegressorFits
from app.learning.training.loop import TrainingStopped

FloatArray = npt.NDArray[np.float64]

MAX_NETWORKS = 2
"""Networks that go on after the first fold: each costs as much as all regressors together."""
HOPELESS = 1.5
"""Who has an error so many times the best one's in the first fold does not go on."""

log = logging.getLogger(__name__)

Entrant = RegressorEntrant | NetworkEntrant
Fits = RegressorFits | NetworkFits


@dataclass(slots=True)
class Standing:
    """How an entrant fared. `predictions` (n,) of the rows each fold held out, NaN where it did not predict."""

    entrant: Entrant
    fits: Fits
    predictions: FloatArray
    seconds: float = 0.0
    left: str = ""
    folds_done: int = 0
    fold_seconds: list[float] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.left and not np.isnan(self.predictions).any()

    def first_error(self, course: Course) -> float:
        rows = course.folds[0][1]
        return float(np.abs(self.predictions[rows] - course.transformed[rows]).mean())


class Tournament:
    """Plays the folds within a number of seconds; what there is no time for is left out and said."""

    def __init__(
        self,
        course: Course,
        regressors: Sequence[RegressorEntrant],
        networks: Sequence[NetworkEntrant],
        max_seconds: float,
        n_threads: int,
        on_progress: Callable[[int, int, str], None],
        should_stop: Callable[[], bool],
    ) -> None:
        n_rows = course.rows.shape[0]
        self._course = course
        self._end = time.monotonic() + max_seconds
        self._watch = Watch(on_progress, should_stop)
        self._done = 0
        n_going_on = min(MAX_NETWORKS, len(networks))
        n_leaders = sum(entrant.after is None for entrant in networks)
        n_followers = max(Counter(entrant.after for entrant in networks if entrant.after).values(), default=0)
        n_once = max(0, n_leaders + n_followers - n_going_on)
        self._total = len(course.folds) * (len(regressors) + n_going_on) + n_once
        self.regressors = [
            Standing(entrant, RegressorFits(course, entrant, n_threads), np.full(n_rows, np.nan))
            for entrant in regressors
        ]
        self.networks = [
            Standing(entrant, NetworkFits(course, entrant), np.full(n_rows, np.nan)) for entrant in networks
        ]

    def play(self) -> list[Standing]:
        """Standings of all entrants; at least one is complete. Raises TrainingStopped, InvalidJob."""
        first, others = [0], list(range(1, len(self._course.folds)))
        # Anybody's first choice is tried in full: it is what the winner is measured by.
        cheap = [standing for standing in self.regressors if _is_cheap(standing)]
        for standing in cheap:
            self._play(standing, first + others, must=standing is cheap[0])
        if not any(standing.is_complete for standing in cheap):
            raise InvalidJob(f"No model can be fitted to these rows. {cheap[0].entrant.name}: {cheap[0].left}")
        rest = [standing for standing in self.regressors if not _is_cheap(standing)]
        for standing in rest:
            self._play(standing, first)
        self._drop_hopeless(rest)
        # Before the networks, the best first: of a time that is too short for all the strongest shall not be without.
        for standing in sorted(rest, key=self._place_after_first):
            self._play(standing, others)
        self._play_networks_once()
        for standing in self._networks_going_on(len(others)):
            self._play(standing, others)
        return [*self.regressors, *self.networks]

    def _play(self, standing: Standing, folds: Sequence[int], *, must: bool = False) -> None:
        for number in folds:
            if standing.left:
                return
            if not must and time.monotonic() > self._end:
                standing.left = "no time was left"
                return
            self._watch.step(self._done, self._total, f"{standing.entrant.name}, fold {number + 1}")
            started = time.monotonic()
            try:
                predicted = standing.fits.predict_fold(number, self._watch)
            except TrainingStopped:
                raise
            except XtalforgeError as error:
                log.warning("%s failed: %s", standing.entrant.name, error)
                standing.left = f"failed: {error}"
                return
            standing.predictions[self._course.folds[number][1]] = predicted
            standing.fold_seconds.append(time.monotonic() - started)
            standing.seconds += standing.fold_seconds[-1]
            standing.folds_done += 1
            self._done += 1

    def _place_after_first(self, standing: Standing) -> float:
        return standing.first_error(self._course) if standing.folds_done else np.inf

    def _play_networks_once(self) -> None:
        """The first fold: who comes after another plays only if that one did best of all that start from a source."""
        leaders = [standing for standing in self.networks if not _network(standing).after]
        for standing in leaders:
            self._play(standing, [0])
        started = [standing for standing in leaders if _network(standing).base and standing.folds_done]
        best = min(started, key=lambda standing: standing.first_error(self._course), default=None)
        for standing in self.networks:
            after = _network(standing).after
            if after and (best is None or after != best.entrant.name):
                standing.left = "another source was better in the first fold" if best else "no time was left"
            elif after:
                self._play(standing, [0])

    def _drop_hopeless(self, standings: Sequence[Standing]) -> None:
        played = [standing for standing in (*self.regressors, *self.networks) if standing.folds_done]
        best = min(standing.first_error(self._course) for standing in played)
        for standing in standings:
            if not standing.left and standing.first_error(self._course) > HOPELESS * best:
                standing.left = "far behind in the first fold"

    def _networks_going_on(self, n_folds: int) -> list[Standing]:
        """The best networks of the first fold that there is time for."""
        self._drop_hopeless(self.networks)
        left = [standing for standing in self.networks if not standing.left and standing.folds_done]
        ranked = sorted(left, key=lambda standing: standing.first_error(self._course))
        for standing in ranked[MAX_NETWORKS:]:
            standing.left = "behind other networks in the first fold"
        going_on, time_left = [], self._end - time.monotonic()
        for standing in ranked[:MAX_NETWORKS]:
            needed = n_folds * standing.fold_seconds[0]
            if needed > time_left:
                standing.left = f"needs about {needed:.0f} s more, and {max(time_left, 0):.0f} s were left"
                continue
            time_left -= needed
            going_on.append(standing)
        return going_on


def _network(standing: Standing) -> NetworkEntrant:
    assert isinstance(standing.entrant, NetworkEntrant)
    return standing.entrant


def _is_cheap(standing: Standing) -> bool:
    return isinstance(standing.entrant, RegressorEntrant) and standing.entrant.is_cheap
