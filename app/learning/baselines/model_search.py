"""Search for the best family and its hyperparameters with Optuna's tree-structured Parzen estimator."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.learning.baselines.families import FORESTS, KERNELS, Family, Parameters
from app.learning.baselines.search import Fold, Score, VectorProblem, Watch

if TYPE_CHECKING:
    import optuna

FloatArray = npt.NDArray[np.float64]

KERNEL_ROWS = 3000
"""Above, a search leaves kernel machines out: each of many fits would take minutes."""

_TREES = 100
"""Of a forest."""
_BOOSTED_TREES = (100, 1000)
_MOST_COMPONENTS = 40
_PRUNING_STARTS = 12


@dataclass(frozen=True, slots=True)
class SearchResult:
    """All finished trials, best first; whether the clock ended the search (then another run may differ)."""

    scores: list[Score]
    n_pruned: int
    out_of_time: bool


def search_models(
    features: npt.NDArray[np.float32],
    targets: FloatArray,
    folds: Sequence[Fold],
    n_trials: int,
    max_seconds: float,
    seed: int,
    n_threads: int,
    watch: Watch,
) -> SearchResult:
    """Try `n_trials` models or as many as begin within `max_seconds`, at least one.

    The first trials are sensible settings of each family; a hopeless trial ends after some folds.
    Raises TrainingStopped.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_PRUNING_STARTS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_PRUNING_STARTS, n_warmup_steps=0),
    )
    n_rows = min(len(train) for train, _ in folds)
    space = _Space(
        [family for family in _STARTS if n_rows <= KERNEL_ROWS or family not in KERNELS],
        features.shape[1],
        max(1, min(_MOST_COMPONENTS, features.shape[1], n_rows // 2)),
    )
    for start in space.starts():
        study.enqueue_trial(start)
    scores: list[Score] = []
    started, n_done = time.monotonic(), 0
    while n_done < n_trials and (not scores or time.monotonic() - started < max_seconds):
        trial = study.ask()
        family, parameters = space.suggest(trial)
        so_far = f", best MAE so far {min(score.mae for score in scores):.4g}" if scores else ""
        problem = VectorProblem(family, features, targets, seed, n_threads)
        maes = _errors(trial, problem, parameters, folds, partial(watch.step, n_done, n_trials, family.value + so_far))
        if len(maes) == len(folds):
            scores.append(Score(family.value, parameters, float(np.mean(maes)), float(np.std(maes))))
            study.tell(trial, scores[-1].mae)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        n_done += 1
    scores.sort(key=lambda score: score.mae)
    return SearchResult(scores, n_done - len(scores), n_done < n_trials)


def _errors(
    trial: "optuna.Trial",
    problem: VectorProblem,
    parameters: Parameters,
    folds: Sequence[Fold],
    before_each: Callable[[], None],
) -> list[float]:
    """MAE of one fold after the other, of fewer than all when the mean so far is worse than most others'."""
    maes: list[float] = []
    for fold in folds:
        before_each()
        maes.append(float(problem.errors(parameters, fold).mean()))
        trial.report(float(np.mean(maes)), len(maes))
        if trial.should_prune():
            break
    return maes


_STARTS: dict[Family, Parameters] = {
    Family.RIDGE: {"alpha": 10.0},
    Family.LASSO: {"alpha": 0.01},
    Family.PLS: {"n_components": 8},
    Family.EXTRA_TREES: {"max_features": 0.33, "min_samples_leaf": 1},
    Family.RANDOM_FOREST: {"max_features": 0.33, "min_samples_leaf": 1},
    Family.GRADIENT_BOOSTING: {
        "n_estimators": 400,
        "learning_rate": 0.05,
        "max_depth": 5,
        "subsample": 0.7,
        "max_features": 0.3,
        "min_samples_leaf": 3,
    },
    Family.SVR: {"C": 10.0, "spread": 0.3, "epsilon": 0.05},
    Family.KERNEL_RIDGE: {"alpha": 0.03, "spread": 0.3},
}


@dataclass(frozen=True, slots=True)
class _Space:
    """What may be tried: families with their hyperparameters, for so many features and components of PLS."""

    families: list[Family]
    n_features: int
    most_components: int

    def starts(self) -> Iterator[dict[str, str | float | int]]:
        """The first trial of each family, by the names that `suggest` asks for."""
        for family in self.families:
            start = dict(_STARTS[family])
            if family is Family.PLS:
                start["n_components"] = min(start["n_components"], self.most_components)
            yield {"family": family.value} | {f"{family}_{name}": value for name, value in start.items()}

    def suggest(self, trial: "optuna.Trial") -> tuple[Family, Parameters]:
        """The next family and hyperparameters; `spread` is gamma times the number of features."""
        family = Family(trial.suggest_categorical("family", [each.value for each in self.families]))
        real = partial(_real, trial, family)
        whole = partial(_whole, trial, family)
        if family is Family.RIDGE:
            return family, {"alpha": real("alpha", 1e-3, 1e4)}
        if family is Family.LASSO:
            return family, {"alpha": real("alpha", 5e-4, 0.3)}
        if family is Family.PLS:
            return family, {"n_components": whole("n_components", 1, self.most_components)}
        if family is Family.GRADIENT_BOOSTING:
            return family, {
                "n_estimators": whole("n_estimators", *_BOOSTED_TREES),
                "learning_rate": real("learning_rate", 0.02, 0.2),
                "max_depth": whole("max_depth", 2, 8),
                "subsample": real("subsample", 0.4, 1.0),
                "max_features": real("max_features", 0.05, 1.0),
                "min_samples_leaf": whole("min_samples_leaf", 1, 20),
            }
        if family in FORESTS:
            shape = {
                "max_features": real("max_features", 0.05, 1.0),
                "min_samples_leaf": whole("min_samples_leaf", 1, 8),
            }
            return family, {"n_estimators": _TREES, **shape}
        gamma = real("spread", 0.005, 10.0) / self.n_features
        if family is Family.SVR:
            return family, {"C": real("C", 0.3, 300.0), "gamma": gamma, "epsilon": real("epsilon", 0.005, 0.2)}
        return family, {"alpha": real("alpha", 1e-6, 3.0), "gamma": gamma}


def _real(trial: "optuna.Trial", family: Family, name: str, low: float, high: float) -> float:
    return trial.suggest_float(f"{family}_{name}", low, high, log=True)


def _whole(trial: "optuna.Trial", family: Family, name: str, low: int, high: int) -> int:
    return trial.suggest_int(f"{family}_{name}", low, high, log=True)
