"""Cross-validation of hyperparameters, fit by fit, so that it can be watched and stopped."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.baselines.families import Estimator, Family, Parameters, make_estimator
from app.learning.training.loop import TrainingStopped

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Fold = tuple[IntArray, IntArray]
"""Rows that train, rows that measure."""

_MIN_ROWS = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a search reports, and asks whether to go on: `on_progress(done, total, text)` before each fit."""

    on_progress: Callable[[int, int, str], None] = lambda _done, _total, _text: None
    should_stop: Callable[[], bool] = lambda: False

    def step(self, done: int, total: int, text: str) -> None:
        """Raises TrainingStopped."""
        if self.should_stop():
            raise TrainingStopped
        self.on_progress(done, total, text)


@dataclass(frozen=True, slots=True)
class Score:
    """Cross-validated error of one choice: mean and spread over folds of the MAE on the learned scale.

    `errors` (n,) are those of each row by the fit that had not seen it, where they were kept.
    """

    family: str
    parameters: Parameters
    mae: float
    std: float
    errors: FloatArray | None = field(default=None, compare=False, repr=False)


class Problem(Protocol):
    """Something whose hyperparameters are to be chosen."""

    def errors(self, parameters: Parameters, fold: Fold) -> FloatArray:
        """Absolute errors of the rows that measure."""
        ...


def make_folds(n_rows: int, n_folds: int, seed: int, groups: Sequence[str] | None) -> list[Fold]:
    """Shuffled folds; rows of one group stay together. Fewer folds where there are fewer groups.

    Raises InvalidJob when there are too few rows or groups to hold any out.
    """
    from sklearn.model_selection import GroupKFold, KFold

    n_groups = n_rows if groups is None else len(set(groups))
    n_folds = min(n_folds, n_groups)
    if n_rows < _MIN_ROWS or n_folds < 2:
        raise InvalidJob(
            f"Cross-validation needs at least {_MIN_ROWS} rows and 2 different formulas; there are {n_rows} rows and "
            f"{n_groups} formulas."
        )
    rows = np.arange(n_rows)
    if groups is None:
        return list(KFold(n_folds, shuffle=True, random_state=seed).split(rows))
    return list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, groups=list(groups)))


def cross_validate(
    problem: Problem, family: str, candidates: Sequence[Parameters], folds: Sequence[Fold], watch: Watch
) -> list[Score]:
    """Scores of the candidates, best first; of equals the earlier one. Raises TrainingStopped."""
    scores = []
    for index, parameters in enumerate(candidates):
        maes = []
        errors = np.empty(sum(len(held_out) for _, held_out in folds))
        for number, fold in enumerate(folds):
            watch.step(index * len(folds) + number, len(candidates) * len(folds), f"{family} {_shown(parameters)}")
            errors[fold[1]] = problem.errors(parameters, fold)
            maes.append(float(errors[fold[1]].mean()))
        scores.append(Score(family, parameters, float(np.mean(maes)), float(np.std(maes)), errors))
    return sorted(scores, key=lambda score: score.mae)


def held_out_errors(problem: Problem, parameters: Parameters, folds: Sequence[Fold]) -> FloatArray:
    """Absolute errors of each row of the folds, by the fit that had not seen it, (n,)."""
    errors = np.empty(sum(len(held_out) for _, held_out in folds))
    for fold in folds:
        errors[fold[1]] = problem.errors(parameters, fold)
    return errors


@dataclass(frozen=True, slots=True)
class FittedEstimator:
    """A regressor of centred targets; `offset` is their mean."""

    estimator: Estimator
    offset: float

    def predict(self, features: npt.NDArray[np.float32]) -> FloatArray:
        """(n, n_features) -> (n,)."""
        return np.asarray(np.ravel(self.estimator.predict(features.astype(np.float64)))) + self.offset


@dataclass(frozen=True, slots=True)
class VectorProblem:
    """A family of regressors on vectors: features (n, d) float32, targets (n,) on the learned scale."""

    family: Family
    features: npt.NDArray[np.float32]
    targets: FloatArray
    seed: int
    n_threads: int = 1

    def errors(self, parameters: Parameters, fold: Fold) -> FloatArray:
        train, held_out = fold
        fitted = self.fit(parameters, train)
        return np.abs(fitted.predict(self.features[held_out]) - self.targets[held_out])

    def fit(self, parameters: Parameters, rows: IntArray) -> FittedEstimator:
        """Fit to the named rows."""
        offset = float(self.targets[rows].mean())
        estimator = make_estimator(self.family, parameters, rows.shape[0], self.seed, self.n_threads)
        with quiet(self.n_threads):
            # Kernels and linear algebra in float64; trees go back to the same float32.
            estimator.fit(self.features[rows].astype(np.float64), self.targets[rows] - offset)
        return FittedEstimator(estimator, offset)


@contextmanager
def quiet(n_threads: int) -> Iterator[None]:
    """Linear algebra on so many threads, and no warnings about a grid's unlucky corners: their error speaks."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _shown(parameters: Parameters) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())
