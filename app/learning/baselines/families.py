"""Families of scikit-learn regressors, and each fitted one as a module. scikit-learn is imported when one is made."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.learning.baselines.factory import BaselineModel
from app.learning.baselines.forest_model import MAX_FOREST_NODES, ForestModel, ForestSettings
from app.learning.baselines.kernel_models import RbfKernelModel, RbfKernelSettings
from app.learning.baselines.linear_model import LinearModel, LinearSettings
from app.learning.descriptors.catalogue import Descriptor

FloatArray = npt.NDArray[np.float64]
Parameters = dict[str, float | int]
Estimator = Any


class Family(StrEnum):
    PLS = "pls"
    LASSO = "lasso"
    RIDGE = "ridge"
    SVR = "svr"
    KERNEL_RIDGE = "kernel_ridge"
    GAUSSIAN_PROCESS = "gaussian_process"
    RANDOM_FOREST = "random_forest"
    EXTRA_TREES = "extra_trees"
    GRADIENT_BOOSTING = "gradient_boosting"


LINEAR = frozenset({Family.PLS, Family.LASSO, Family.RIDGE})
KERNELS = frozenset({Family.SVR, Family.KERNEL_RIDGE, Family.GAUSSIAN_PROCESS})
FORESTS = frozenset({Family.RANDOM_FOREST, Family.EXTRA_TREES})

FARTHEST = 6.0
"""Standard deviations beyond which a feature says no more. Where a column is all but constant in the training rows (the
least magnetic moment of a compound's elements, say), iron is 10^5 of them away, and a linear model says 10^100 GPa."""

_LASSO_ITERATIONS = 10_000


def make_estimator(family: Family, parameters: Parameters, n_rows: int, seed: int, n_threads: int) -> Estimator:
    """A regressor ready to fit `n_rows` rows.

    All but the trees see standardised features; linear models no further from 0 than `FARTHEST`, kernel machines no
    further than `clip` where it is given.
    """
    if family in FORESTS:
        return _forest(family, parameters, n_rows, seed, n_threads)
    if family is Family.GRADIENT_BOOSTING:
        from sklearn.ensemble import GradientBoostingRegressor

        return GradientBoostingRegressor(**parameters, random_state=seed)
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clip = FARTHEST if family in LINEAR else parameters.get("clip")
    own = {name: value for name, value in parameters.items() if name != "clip"}
    regressor = _gaussian_process(own, seed) if family is Family.GAUSSIAN_PROCESS else _scaled(family, own)
    if clip is None:
        return make_pipeline(StandardScaler(), regressor)
    return make_pipeline(StandardScaler(), _clipping(clip), regressor)


def _clipping(bound: float) -> Estimator:
    from sklearn.preprocessing import FunctionTransformer

    return FunctionTransformer(np.clip, kw_args={"a_min": -bound, "a_max": bound})


def _scaled(family: Family, parameters: Parameters) -> Estimator:
    if family is Family.PLS:
        from sklearn.cross_decomposition import PLSRegression

        return PLSRegression(**parameters, scale=False)
    if family is Family.LASSO:
        from sklearn.linear_model import Lasso

        return Lasso(**parameters, max_iter=_LASSO_ITERATIONS)
    if family is Family.RIDGE:
        from sklearn.linear_model import Ridge

        return Ridge(**parameters)
    if family is Family.SVR:
        from sklearn.svm import SVR

        return SVR(kernel="rbf", **parameters)
    from sklearn.kernel_ridge import KernelRidge

    return KernelRidge(kernel="rbf", **parameters)


def _gaussian_process(parameters: Parameters, seed: int) -> Estimator:
    """Amplitude, length and noise by the marginal likelihood, from `length` (of standardised features) on.

    Rasmussen and Williams 2006, algorithm 2.1 and eq. 5.9.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel(1.0) * RBF(parameters["length"], (1e-1, 1e4)) + WhiteKernel(0.1, (1e-4, 1e1))
    return GaussianProcessRegressor(kernel, random_state=seed)


def _forest(family: Family, parameters: Parameters, n_rows: int, seed: int, n_threads: int) -> Estimator:
    from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

    forest = RandomForestRegressor if family is Family.RANDOM_FOREST else ExtraTreesRegressor
    limit = most_leaves(int(parameters["n_estimators"]))
    return forest(**parameters, max_leaf_nodes=limit if n_rows > limit else None, random_state=seed, n_jobs=n_threads)


def most_leaves(n_trees: int) -> int:
    """Leaves a tree may have such that a forest of `n_trees` stays within its size bound."""
    return (MAX_FOREST_NODES // n_trees + 1) // 2


def export(family: Family, estimator: Estimator, offset: float, descriptor: Descriptor) -> BaselineModel:
    """The module that gives `estimator.predict(x) + offset`."""
    if family in LINEAR:
        return _export_linear(estimator, offset, descriptor)
    if family in KERNELS:
        return _export_kernel(family, estimator, offset, descriptor)
    if family in FORESTS:
        trees = [tree.tree_ for tree in estimator.estimators_]
        return _export_trees(trees, 1.0 / len(trees), offset, estimator.n_features_in_, descriptor)
    start = float(estimator.init_.predict(np.zeros((1, estimator.n_features_in_)))[0])
    trees = [tree.tree_ for tree in estimator.estimators_[:, 0]]
    return _export_trees(trees, estimator.learning_rate, offset + start, estimator.n_features_in_, descriptor)


def _export_linear(pipeline: Estimator, offset: float, descriptor: Descriptor) -> LinearModel:
    scaler, regressor = pipeline[0], pipeline[-1]
    n_features = scaler.n_features_in_
    clip = _bound_of(pipeline)
    # Asked, not read: what the attributes of PLS mean has changed between versions.
    intercept = float(np.ravel(regressor.predict(np.zeros((1, n_features))))[0])
    coefficients = np.ravel(regressor.predict(np.eye(n_features))) - intercept
    model = LinearModel(LinearSettings(descriptor=descriptor, n_features=n_features, clip=clip))
    _fill(model, mean=scaler.mean_, scale=scaler.scale_, coefficients=coefficients, intercept=intercept + offset)
    return model


def _export_kernel(family: Family, pipeline: Estimator, offset: float, descriptor: Descriptor) -> RbfKernelModel:
    scaler, regressor = pipeline[0], pipeline[-1]
    support, weights, intercept, gamma = _kernel_parts(family, regressor)
    settings = RbfKernelSettings(
        descriptor=descriptor,
        n_features=scaler.n_features_in_,
        n_support=support.shape[0],
        gamma=gamma,
        clip=_bound_of(pipeline),
    )
    model = RbfKernelModel(settings)
    _fill(model, mean=scaler.mean_, scale=scaler.scale_, support=support, weights=weights, intercept=intercept + offset)
    return model


def _bound_of(pipeline: Estimator) -> float | None:
    clipping = pipeline.named_steps.get("functiontransformer")
    return None if clipping is None else float(clipping.kw_args["a_max"])


def _kernel_parts(family: Family, regressor: Any) -> tuple[FloatArray, FloatArray, float, float]:
    """Support vectors, their weights, the intercept, and gamma."""
    if family is Family.GAUSSIAN_PROCESS:
        smooth = regressor.kernel_.k1
        gamma = 0.5 / smooth.k2.length_scale**2
        return regressor.X_train_, smooth.k1.constant_value * regressor.alpha_, 0.0, float(gamma)
    gamma = regressor.get_params()["gamma"]
    if family is Family.SVR:
        return regressor.support_vectors_, regressor.dual_coef_[0], float(regressor.intercept_[0]), gamma
    return regressor.X_fit_, regressor.dual_coef_, 0.0, gamma


def _export_trees(
    trees: Sequence[Any], scale: float, intercept: float, n_features: int, descriptor: Descriptor
) -> ForestModel:
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    settings = ForestSettings(
        descriptor=descriptor,
        n_features=n_features,
        n_trees=len(trees),
        n_nodes=int(sizes.sum()),
        depth=max(tree.max_depth for tree in trees),
    )
    model = ForestModel(settings)
    _fill(
        model,
        feature=np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
        value=np.concatenate([_values(tree) for tree in trees]),
        successors=np.concatenate([_successors(tree) + root for tree, root in zip(trees, roots, strict=True)]),
        roots=roots,
        scale=scale,
        intercept=intercept,
    )
    return model


def _values(tree: Any) -> FloatArray:
    """Thresholds and, of leaves, outputs.

    A threshold is rounded down to float32: a float32 feature lies at or below the one if it does below the other.
    """
    thresholds = tree.threshold.astype(np.float32)
    rounded_up = thresholds > tree.threshold
    thresholds[rounded_up] = np.nextafter(thresholds[rounded_up], np.float32(-np.inf))
    return np.asarray(np.where(tree.children_left < 0, tree.value[:, 0, 0], thresholds))


def _successors(tree: Any) -> npt.NDArray[np.int64]:
    itself = np.arange(tree.node_count)[:, None]
    children = np.stack([tree.children_left, tree.children_right], axis=1)
    return np.where(children < 0, itself, children)


def _fill(model: BaselineModel, **buffers: npt.ArrayLike) -> None:
    for name, values in buffers.items():
        model.get_buffer(name).copy_(torch.from_numpy(np.asarray(values)))
