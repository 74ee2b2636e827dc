"""From descriptor rows and targets to a fitted baseline: choose hyperparameters by cross-validation, fit, export."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.baselines.factory import BaselineModel
from app.learning.baselines.families import FARTHEST, Family, export
from app.learning.baselines.methods import Baseline, candidates, final_parameters, require_size
from app.learning.baselines.model_search import search_models
from app.learning.baselines.search import Fold, Score, VectorProblem, Watch, cross_validate, held_out_errors, make_folds
from app.learning.baselines.soap_ridge import SoapProblem, fitted_model, similarities, soap_support
from app.learning.descriptors.catalogue import Descriptor
from app.learning.descriptors.soap import SoapSettings

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]

_CLIPS = {Descriptor.BONDING: FARTHEST}
"""For kernel machines: sites unlike any in training are far in many columns at once."""


@dataclass(frozen=True, slots=True)
class SearchBudget:
    """How much may be tried. `n_trials` and `max_seconds` bound model searches; grids are always tried whole.

    A model search on more than `max_search_rows` rows looks at a random part of them; the choice is then fitted to all.
    """

    n_folds: int = 5
    n_trials: int = 60
    max_seconds: float = 900.0
    max_search_rows: int = 8000
    n_threads: int = 1


@dataclass(frozen=True, slots=True)
class FittedBaseline:
    """A model with what was chosen for it. Errors are on the learned scale; `scores` are best first.

    `held_out_errors` (n,) are those of each row in cross-validation; NaN for rows that had no part in it.
    """

    model: BaselineModel
    family: str
    parameters: dict[str, float | int]
    cv_mae: float
    cv_std: float
    scores: list[Score]
    software: dict[str, str]
    notes: list[str] = field(default_factory=list)
    held_out_errors: FloatArray | None = None


def fit_baseline(
    method: Baseline,
    rows: Rows,
    targets: FloatArray,
    seed: int,
    groups: Sequence[str] | None = None,
    soap: SoapSettings | None = None,
    budget: SearchBudget | None = None,
    watch: Watch | None = None,
    descriptor: Descriptor | None = None,
) -> FittedBaseline:
    """Fit a baseline to rows of its descriptor (see `describe`) and targets (n,) on the learned scale.

    Training and validation rows belong here together: folds take the place of a validation set. Rows of one of
    `groups` (formulas) are never in training and held-out fold at once. `descriptor` (the method's own when None) and
    `soap` are what the rows were made with; further columns may stand beside those of the descriptor, then whoever
    asks the model gives them too.

    Raises InvalidJob for what cannot be fitted, TrainingStopped.
    """
    budget, watch = budget or SearchBudget(), watch or Watch()
    require_size(method, rows.shape[0])
    if not (np.isfinite(rows).all() and np.isfinite(targets).all()):
        raise InvalidJob("Some descriptors or labels are no finite numbers.")
    folds = make_folds(rows.shape[0], budget.n_folds, seed, groups)
    if method is Baseline.SOAP_RIDGE:
        return _fit_soap(rows, targets, soap or SoapSettings(), folds, watch)
    if method.is_model_search:
        return _fit_best_of_all(method, rows, targets, seed, groups, budget, watch)
    assert method.family is not None
    problem = VectorProblem(method.family, rows, targets, seed, budget.n_threads)
    n_train = min(len(train) for train, _ in folds)
    descriptor = descriptor or method.descriptor()
    grid = candidates(method, n_train, rows.shape[1], clip=_CLIPS.get(descriptor))
    return _fitted(descriptor, problem, cross_validate(problem, method.value, grid, folds, watch), [], watch)


def _fitted(
    descriptor: Descriptor, problem: VectorProblem, scores: list[Score], notes: list[str], watch: Watch
) -> FittedBaseline:
    best = scores[0]
    watch.step(1, 1, f"fit {best.family} to all rows")
    n_rows = problem.targets.shape[0]
    parameters = final_parameters(problem.family, best.parameters, n_rows)
    fitted = problem.fit(parameters, np.arange(n_rows))
    model = export(problem.family, fitted.estimator, fitted.offset, descriptor)
    return FittedBaseline(
        model, best.family, parameters, best.mae, best.std, scores, _software(), notes, best.errors
    )  # fmt: skip


def _fit_best_of_all(
    method: Baseline,
    rows: Rows,
    targets: FloatArray,
    seed: int,
    groups: Sequence[str] | None,
    budget: SearchBudget,
    watch: Watch,
) -> FittedBaseline:
    n_rows = rows.shape[0]
    looked_at: IntArray = np.arange(n_rows)
    notes = []
    if n_rows > budget.max_search_rows:
        looked_at = np.sort(np.random.default_rng(seed).permutation(n_rows)[: budget.max_search_rows])
        notes.append(f"models were compared on {looked_at.shape[0]} of {n_rows} rows, the chosen one fitted to all")
    part = None if groups is None else [groups[row] for row in looked_at]
    folds = make_folds(looked_at.shape[0], budget.n_folds, seed, part)
    found = search_models(
        rows[looked_at], targets[looked_at], folds, budget.n_trials, budget.max_seconds, seed, budget.n_threads, watch
    )
    if found.out_of_time:
        notes.append(f"the search ended after {budget.max_seconds:g} s with {len(found.scores)} models compared")
    problem = VectorProblem(Family(found.scores[0].family), rows, targets, seed, budget.n_threads)
    fitted = _fitted(method.descriptor(), problem, found.scores, notes, watch)
    fitted.software["optuna"] = _version("optuna")
    errors = np.full(n_rows, np.nan)
    looked_at_problem = VectorProblem(problem.family, rows[looked_at], targets[looked_at], seed, budget.n_threads)
    errors[looked_at] = held_out_errors(looked_at_problem, found.scores[0].parameters, folds)
    return replace(fitted, held_out_errors=errors)


def _fit_soap(
    rows: Rows, targets: FloatArray, soap: SoapSettings, folds: Sequence[Fold], watch: Watch
) -> FittedBaseline:
    support = soap_support(rows, soap)
    own = similarities(support, rows)
    grid = candidates(Baseline.SOAP_RIDGE, rows.shape[0], soap.block_size)
    scores = cross_validate(SoapProblem(own, targets), Baseline.SOAP_RIDGE.value, grid, folds, watch)
    best = scores[0]
    model = fitted_model(support, own, targets, best.parameters)
    return FittedBaseline(
        model, best.family, best.parameters, best.mae, best.std, scores, _software(), held_out_errors=best.errors
    )  # fmt: skip


def _software() -> dict[str, str]:
    return {"scikit-learn": _version("scikit-learn")}


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def described(fitted: FittedBaseline) -> dict[str, Any]:
    """What a manifest or a report says of the choice, in JSON's types."""
    return {
        "family": fitted.family,
        "parameters": fitted.parameters,
        "cv_mae": fitted.cv_mae,
        "cv_std": fitted.cv_std,
        "n_compared": len(fitted.scores),
        "notes": fitted.notes,
    }
