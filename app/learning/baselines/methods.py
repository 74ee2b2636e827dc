"""The baselines on offer: which descriptor each reads and which hyperparameters it tries."""

from enum import StrEnum
from itertools import product

from app.core.errors import InvalidJob
from app.learning.baselines.families import FORESTS, KERNELS, Family, Parameters
from app.learning.baselines.kernel_models import MAX_SUPPORT
from app.learning.descriptors.catalogue import Descriptor


class Baseline(StrEnum):
    PLS = "pls"
    LASSO = "lasso"
    SVR = "svr"
    RANDOM_FOREST = "rf"
    EXTRA_TREES = "extra_trees"
    GRADIENT_BOOSTING = "gradient_boosting"
    SOAP_RIDGE = "soap_krr"
    AUTOML_FRACTIONS = "automl_ef"
    AUTOML_ATTRIBUTES = "automl_pa"

    def descriptor(self, features: str | None = None) -> Descriptor:
        """What it reads, with the hyperparameter `features` where the method has a choice (None: Magpie)."""
        return _DESCRIPTORS.get(self) or Descriptor(features or Descriptor.MAGPIE)

    @property
    def is_model_search(self) -> bool:
        return self in (Baseline.AUTOML_FRACTIONS, Baseline.AUTOML_ATTRIBUTES)

    @property
    def family(self) -> Family | None:
        """The one family it fits; None for SOAP and for model searches."""
        return _FAMILIES.get(self)


_DESCRIPTORS = {
    Baseline.SOAP_RIDGE: Descriptor.SOAP,
    Baseline.AUTOML_FRACTIONS: Descriptor.ELEMENTAL_FRACTIONS,
    Baseline.AUTOML_ATTRIBUTES: Descriptor.PHYSICAL_ATTRIBUTES,
}

_FAMILIES = {
    Baseline.PLS: Family.PLS,
    Baseline.LASSO: Family.LASSO,
    Baseline.SVR: Family.SVR,
    Baseline.RANDOM_FOREST: Family.RANDOM_FOREST,
    Baseline.EXTRA_TREES: Family.EXTRA_TREES,
    Baseline.GRADIENT_BOOSTING: Family.GRADIENT_BOOSTING,
}

_COMPARED_TREES = 100
"""Enough to compare forests by."""
_FINAL_TREES = 300
_BOOSTED_TREES = 400
_MANY_ROWS = 3000
"""From here on a forest of few large trees is better than one of many small trees, its size being bounded."""


def candidates(method: Baseline, n_rows: int, n_features: int, *, clip: float | None = None) -> list[Parameters]:
    """The grid of a method, for `n_rows` training rows. The papers name the methods, not the grids.

    Alphas, C, epsilon and gamma are meant for standardised features and targets. `clip` goes to support vectors.
    """
    if method is Baseline.PLS:
        most = max(1, min(24, n_features, n_rows // 2))
        return [{"n_components": n} for n in (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24) if n <= most]
    if method is Baseline.LASSO:
        return [{"alpha": 10.0 ** (-exponent / 4)} for exponent in range(2, 14)]
    if method is Baseline.SVR:
        grid = product((1.0, 3.0, 10.0, 30.0, 100.0), (0.1, 0.3, 1.0, 3.0), (0.02, 0.1))
        bound: Parameters = {} if clip is None else {"clip": clip}
        return [{"C": c, "gamma": gamma / n_features, "epsilon": epsilon} | bound for c, gamma, epsilon in grid]
    if method in (Baseline.RANDOM_FOREST, Baseline.EXTRA_TREES):
        return [
            {"n_estimators": _COMPARED_TREES, "max_features": share, "min_samples_leaf": leaf}
            for share, leaf in product((0.15, 0.33, 0.6), (1, 3))
        ]
    if method is Baseline.GRADIENT_BOOSTING:
        fixed: Parameters = {
            "n_estimators": _BOOSTED_TREES,
            "learning_rate": 0.05,
            "subsample": 0.7,
            "max_features": 0.2,
        }
        shapes = ((3, 1), (5, 1), (5, 5), (7, 5))
        return [fixed | {"max_depth": depth, "min_samples_leaf": leaf} for depth, leaf in shapes]
    if method is Baseline.SOAP_RIDGE:
        alphas = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
        return [{"power": power, "alpha": alpha} for power, alpha in product((1, 2, 4, 8), alphas)]
    raise ValueError(f"{method.value} has no grid: it is a search")


def final_parameters(family: Family, parameters: Parameters, n_rows: int) -> Parameters:
    """What the chosen model is fitted with: more trees than forests were compared with, where they stay small."""
    if family in FORESTS and n_rows <= _MANY_ROWS:
        return parameters | {"n_estimators": _FINAL_TREES}
    return parameters


def require_size(method: Baseline, n_rows: int) -> None:
    """Raises InvalidJob for more rows than the method can take."""
    kernel = method is Baseline.SOAP_RIDGE or method.family in KERNELS
    if kernel and n_rows > MAX_SUPPORT:
        raise InvalidJob(
            f"{n_rows} rows train, but {method.value!r} is a kernel machine and takes at most {MAX_SUPPORT}."
        )
