"""From a label in physical units to what a network learns, and back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.errors import PropertyNotFound
from app.properties.catalogue import Transform, get_property
from app.registry.manifest import PropertyRecord, TargetScaling

FloatArray = npt.NDArray[np.float64]

_TANH_SLOPE = 0.01
_TANH_LIMIT = 1.0 - 1e-12


@dataclass(frozen=True, slots=True)
class TargetMap:
    """Transform (log10 of GPa, say) and scaling (zero mean, unit spread), both invertible."""

    transform: Transform
    scaling: TargetScaling

    @classmethod
    def fit(cls, labels: FloatArray, transform: Transform, kind: str) -> "TargetMap":
        """Statistics from training labels in physical units, (n,). A constant label gets unit spread.

        `tanh`: equation 6 squeezes labels into about 0.49 to 0.51, where steps of the paper's learning rate are larger
        than all differences. The code that the paper's is built on standardises whatever it is given to learn, so what
        comes of equation 6 is standardised too; without that, errors are larger than those of answering the mean.
        """
        values = apply_transform(labels, transform)
        mean, std = _moments(values)
        if kind != "tanh":
            return cls(transform, TargetScaling.model_validate({"kind": kind, "mean": mean, "std": std}))
        squashed_mean, squashed_std = _moments(_squash(values, mean, std))
        scaling = TargetScaling(kind="tanh", mean=mean, std=std, squashed_mean=squashed_mean, squashed_std=squashed_std)
        return cls(transform, scaling)

    def to_network(self, labels: FloatArray) -> FloatArray:
        """Physical units -> learned scale, (n,)."""
        values = apply_transform(labels, self.transform)
        mean, std = self.scaling.mean, self.scaling.std
        if self.scaling.kind == "standard":
            return (values - mean) / std
        if self.scaling.kind == "tanh":
            return (_squash(values, mean, std) - self.scaling.squashed_mean) / self.scaling.squashed_std
        return values

    def to_transformed(self, outputs: FloatArray) -> FloatArray:
        """Learned scale -> transformed label (log10(GPa), say), (n,)."""
        mean, std = self.scaling.mean, self.scaling.std
        if self.scaling.kind == "standard":
            return outputs * std + mean
        if self.scaling.kind == "tanh":
            squashed = outputs * self.scaling.squashed_std + self.scaling.squashed_mean
            inner = np.clip(2.0 * squashed - 1.0, -_TANH_LIMIT, _TANH_LIMIT)
            return np.arctanh(inner) * std / _TANH_SLOPE + mean
        return outputs

    def to_physical(self, outputs: FloatArray) -> FloatArray:
        """Learned scale -> physical units, (n,)."""
        return invert_transform(self.to_transformed(outputs), self.transform)


def _squash(values: FloatArray, mean: float, std: float) -> FloatArray:
    """Lee & Asahi 2021, eq. 6; values (n,) to between 0 and 1."""
    return np.asarray((np.tanh(_TANH_SLOPE * (values - mean) / std) + 1.0) / 2.0)


def _moments(values: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation, 1 for a constant."""
    std = float(values.std())
    return float(values.mean()), std if std > 0 else 1.0


def apply_transform(labels: FloatArray, transform: Transform) -> FloatArray:
    """Raises ValueError for labels the transform cannot take."""
    if transform is Transform.LOG10:
        if np.any(labels <= 0):
            raise ValueError("log10 needs positive labels")
        return np.log10(labels)
    return np.asarray(labels, dtype=np.float64)


def invert_transform(values: FloatArray, transform: Transform) -> FloatArray:
    """Transformed label -> physical units, (n,)."""
    if transform is Transform.LOG10:
        # Bounded such that the square of an error is a finite number too.
        return np.asarray(10.0 ** np.clip(values, -100.0, 100.0))
    return values


def physical_bounds(record: PropertyRecord) -> tuple[float, float]:
    """What a value may be, in the unit; a property that is none of the catalogue's has no bounds."""
    lower, upper = (0.0 if record.transform is Transform.LOG10 else -np.inf), np.inf
    try:
        spec = get_property(record.key)
    except PropertyNotFound:
        return lower, upper
    if spec.unit != record.unit:
        return lower, upper
    return max(lower, -np.inf if spec.lower is None else spec.lower), np.inf if spec.upper is None else spec.upper
