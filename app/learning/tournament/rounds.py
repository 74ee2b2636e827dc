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
from app.learning.tournament.fitting import Course, NetworkFits, OutOfTime, RegressorFits
from app.learning.tournament.kept import Decision, Kept, KeptFold
from app.learning.training.loop import TrainingStopped

FloatArray = npt.NDArray[np.float64]

MAX_NETWORKS = 2
"""Networks that go on after the first fold: each costs as much as all regressors together."""
SHARE_FOR_REGRESSORS = 0.8
"""Of the time; networks have what is left of all of it but for the end's needs."""
FITS_AT_THE_END = 2.0
"""Fits of each regressor that there must be time for after the folds: the winners on all rows, the learning curve."""
SHORTEST = 0.6
"""Of a network's usual epochs, where there is no time for all of them."""
GRACE = 0.1
"""Of the time, by which the last folds of a network may be late: their epochs never take quite what was expected."""
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
        kept: Kept | None = None,
    ) -> None:
        n_rows = course.rows.shape[0]
        self._course, self._kept = course, kept or Kept(None)
        self._started = started = time.monotonic() - self._kept.spent_s
        self._end, self._regressors_end = started + max_seconds, started + SHARE_FOR_REGRESSORS * max_seconds
        self._latest = self._end + GRACE * max_seconds
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
            self._play(standing, others, end=self._end)
        return [*self.regressors, *self.networks]

    def _play(self, standing: Standing, folds: Sequence[int], *, must: bool = False, end: float | None = None) -> None:
        for number in folds:
            if standing.left:
                return
            kept = self._kept.fold(standing.entrant.name, number)
            late = time.monotonic() > (self._regressors_end if end is None else end)
            if kept is None and late and not must:
                standing.left = "no time was left"
                return
            self._watch.step(self._done, self._total, f"{standing.entrant.name}, fold {number + 1}")
            try:
                fold = self._fold(standing, number, kept, np.inf if must else self._limit(number))
            except TrainingStopped:
                self._kept.keep_spent(time.monotonic() - self._started)
                raise
            except OutOfTime:
                standing.left = "would not have ended in time"
                return
            except XtalforgeError as error:
                log.warning("%s failed: %s", standing.entrant.name, error)
                standing.left = f"failed: {error}"
                return
            standing.fold_seconds.append(fold.seconds)
            standing.seconds += fold.seconds
            standing.folds_done += 1
            self._done += 1

    def _fold(self, standing: Standing, number: int, kept: KeptFold | None, limit: float) -> KeptFold:
        """The predictions of one fold, which an earlier attempt may have made."""
        fits, started = standing.fits, time.monotonic()
        if kept is not None and kept.predictions is not None and isinstance(fits, RegressorFits):
            predicted, fits.chosen = kept.predictions, kept.chosen
        else:
            predicted = fits.predict_fold(number, self._watch, limit)
        standing.predictions[self._course.folds[number][1]] = predicted
        if kept is not None:
            return kept
        seconds = time.monotonic() - started
        fold = KeptFold(seconds, predicted, fits.chosen) if isinstance(fits, RegressorFits) else KeptFold(seconds)
        self._kept.keep_fold(standing.entrant.name, number, fold)
        self._kept.keep_spent(time.monotonic() - self._started)
        return fold

    def _limit(self, number: int) -> float:
        """When a fit that begins now must end; the first fold leaves time for the end."""
        return self._latest if number else self._end - self._needed_at_the_end()

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
        """The best networks of the first fold, with fewer epochs or fewer of them where the time is short."""
        self._drop_hopeless(self.networks)
        left = [standing for standing in self.networks if not standing.left and standing.folds_done]
        ranked = sorted(left, key=lambda standing: standing.first_error(self._course))
        for standing in ranked[MAX_NETWORKS:]:
            standing.left = "behind other networks in the first fold"
        ranked = ranked[:MAX_NETWORKS]
        decided = self._kept.decisions() or self._decided(ranked, n_folds)
        self._kept.keep_decisions(decided)
        for standing in ranked:
            assert not isinstance(standing.fits, RegressorFits)
            standing.left = decided[standing.entrant.name].left
            standing.fits.shorten(decided[standing.entrant.name].share)
        return [standing for standing in ranked if not standing.left]

    def _decided(self, ranked: Sequence[Standing], n_folds: int) -> dict[str, Decision]:
        """By the time that is left and what the first fold took."""
        time_left = self._end - self._needed_at_the_end() - time.monotonic()
        needed = [n_folds * standing.fold_seconds[0] for standing in ranked]
        n_going_on = len(ranked)
        decided: dict[str, Decision] = {}
        while n_going_on and time_left < SHORTEST * sum(needed[:n_going_on]):
            n_going_on -= 1
            why = f"needs about {needed[n_going_on]:.0f} s more, and {max(time_left, 0):.0f} s were left"
            decided[ranked[n_going_on].entrant.name] = Decision(
                left=why + (" for it and a better one" if n_going_on else "")
            )
        share = min(1.0, time_left / max(sum(needed[:n_going_on]), 1e-9))
        return decided | {standing.entrant.name: Decision(share) for standing in ranked[:n_going_on]}

    def _needed_at_the_end(self) -> float:
        """Seconds, more than enough: any regressor that is complete may be among the winners."""
        played = [standing for standing in self.regressors if standing.is_complete]
        return FITS_AT_THE_END * sum(standing.seconds / len(self._course.folds) for standing in played)


def _network(standing: Standing) -> NetworkEntrant:
    assert isinstance(standing.entrant, NetworkEntrant)
    return standing.entrant


def _is_cheap(standing: Standing) -> bool:
    return isinstance(standing.entrant, RegressorEntrant) and standing.entrant.is_cheap
