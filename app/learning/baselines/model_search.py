"""Search for the best family and its hyperparameters with Optuna's tree-structured Parzen estimator."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from app.learning.baselines.families import KERNELS, Family, Parameters
from app.learning.baselines.search import Fold, Score, VectorProblem, Watch

if TYPE_CHECKING:
    import optuna

FloatArray = npt.NDArray[np.float64]

KERNEL_ROWS = 3000
"""Above, a search leaves kernel machines out: each of many fits would take minutes."""

_TREES = 100
"""Of a forest."""
_BOOSTED_TREES = (100, 1000)
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
    """Try `n_trials` models or as many as `max_seconds` allow, at least one; a hopeless one ends after some folds.

    The first trials are sensible settings of each family. Raises TrainingStopped.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=_PRUNING_STARTS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_PRUNING_STARTS, n_warmup_steps=0),
    )
    n_rows = max(len(train) for train, _ in folds)
    most_components = max(1, min(40, features.shape[1], n_rows // 2))
    families = [family for family in _STARTS if n_rows <= KERNEL_ROWS or family not in KERNELS]
    for family in families:
        start = dict(_STARTS[family])
        if family is Family.PLS:
            start["n_components"] = min(start["n_components"], most_components)
        study.enqueue_trial({"family": family.value} | {f"{family}_{name}": value for name, value in start.items()})
    scores: list[Score] = []
    started, n_done = time.monotonic(), 0
    while n_done < n_trials and (not scores or time.monotonic() - started < max_seconds):
        trial = study.ask()
        family = Family(trial.suggest_categorical("family", [f.value for f in families]))
        parameters = _suggest(trial, family, features.shape[1], most_components)
        problem = VectorProblem(family, features, targets, seed, n_threads)
        so_far = f", best MAE so far {min(score.mae for score in scores):.4g}" if scores else ""
        maes: list[float] = []
        for fold in folds:
            watch.step(n_done, n_trials, family.value + so_far)
            maes.append(float(problem.errors(parameters, fold).mean()))
            trial.report(float(np.mean(maes)), len(maes))
            if trial.should_prune():
                break
        if len(maes) == len(folds):
            scores.append(Score(family.value, parameters, float(np.mean(maes)), float(np.std(maes))))
            study.tell(trial, scores[-1].mae)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        n_done += 1
    scores.sort(key=lambda score: score.mae)
    return SearchResult(scores, n_done - len(scores), n_done < n_trials)


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


def _suggest(trial: "optuna.Trial", family: Family, n_features: int, most_components: int) -> Parameters:
    """Hyperparameters of one family; `spread` is gamma times the number of features."""

    def real(name: str, low: float, high: float) -> float:
        return trial.suggest_float(f"{family}_{name}", low, high, log=True)

    def whole(name: str, low: int, high: int) -> int:
        return trial.suggest_int(f"{family}_{name}", low, high, log=True)

    if family is Family.RIDGE:
        return {"alpha": real("alpha", 1e-3, 1e4)}
    if family is Family.LASSO:
        return {"alpha": real("alpha", 5e-4, 0.3)}
    if family is Family.PLS:
        return {"n_components": whole("n_components", 1, most_components)}
    if family is Family.SVR:
        gamma = real("spread", 0.02, 10.0) / n_features
        return {"C": real("C", 0.3, 300.0), "gamma": gamma, "epsilon": real("epsilon", 0.005, 0.2)}
    if family is Family.KERNEL_RIDGE:
        return {"alpha": real("alpha", 1e-4, 3.0), "gamma": real("spread", 0.02, 10.0) / n_features}
    if family is Family.GRADIENT_BOOSTING:
        return {
            "n_estimators": whole("n_estimators", *_BOOSTED_TREES),
            "learning_rate": real("learning_rate", 0.02, 0.2),
            "max_depth": whole("max_depth", 2, 8),
            "subsample": real("subsample", 0.4, 1.0),
            "max_features": real("max_features", 0.05, 1.0),
            "min_samples_leaf": whole("min_samples_leaf", 1, 20),
        }
    return {
        "n_estimators": _TREES,
        "max_features": real("max_features", 0.05, 1.0),
        "min_samples_leaf": whole("min_samples_leaf", 1, 8),
    }
