"""Errors of predictions, in the property's unit."""

import numpy as np
import numpy.typing as npt

from app.learning.targets import apply_transform
from app.properties.catalogue import Transform
from app.registry.manifest import SplitMetrics

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CHEMICAL_ACCURACY = 0.0433641
"""eV: 1 kcal/mol. An accuracy of energies of a whole cell; values per atom times the number of sites are those."""


def split_metrics(
    labels: FloatArray, predictions: FloatArray, transform: Transform, n_sites: IntArray | None = None
) -> SplitMetrics:
    """Metrics of one split; both arrays (n,) in physical units, n >= 1.

    `n_sites` (n,), for energies in eV/atom alone: the atoms of each cell, whose total energies are measured too.
    """
    errors = predictions - labels
    totals: dict[str, float] = {}
    if n_sites is not None:
        share = share_within(labels * n_sites, predictions * n_sites, CHEMICAL_ACCURACY)
        totals = {"mae_total": float(np.abs(errors * n_sites).mean()), "within_chemical_accuracy": share}
    spread = float(np.sum((labels - labels.mean()) ** 2))
    transformed: float | None = None
    if transform is not Transform.IDENTITY:
        difference = apply_transform(np.maximum(predictions, 1e-300), transform) - apply_transform(labels, transform)
        transformed = float(np.abs(difference).mean())
    return SplitMetrics(
        n=int(labels.shape[0]),
        mae=float(np.abs(errors).mean()),
        rmse=float(np.sqrt(np.mean(errors**2))),
        r2=1.0 - float(np.sum(errors**2)) / spread if spread > 0 else None,
        max_error=float(np.abs(errors).max()),
        mad=float(np.abs(labels - labels.mean()).mean()),
        mae_transformed=transformed,
        **totals,
    )


def share_within(labels: FloatArray, predictions: FloatArray, tolerance: float) -> float:
    """Share of predictions, 0 to 1, that are off by at most `tolerance`; both arrays (n,) in its unit, n >= 1."""
    return float(np.mean(np.abs(predictions - labels) <= tolerance))
