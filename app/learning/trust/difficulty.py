"""How large the error of a prediction is expected to be, from what is known without its label.

log difficulty = intercept + weights . log(x / scale + offset) over the features x: the distance to the training rows
in the representation, that in composition, the spread of the nearest training labels, and the model's error on the
nearest training rows. Weights are those under which Laplace-distributed errors of that scale are likeliest (a convex
problem), never negative: farther is never easier.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

N_FEATURES = 4
_OFFSET = 0.1
"""In medians of a feature: below it, differences mean nothing."""
_FEWEST_ROWS = 60
_SHRINKAGE = 5.0
"""Strength of the pull to equal difficulties, in rows."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """`scale` and `weights` are (4,)."""

    scale: FloatArray
    weights: FloatArray
    intercept: float

    @classmethod
    def equal(cls, errors: FloatArray, scale: FloatArray) -> "Difficulty":
        """The mean of the absolute errors (n,) for everything."""
        return cls(scale, np.zeros(N_FEATURES), float(np.log(max(errors.mean(), 1e-12))) if len(errors) else 0.0)

    @classmethod
    def fit(cls, features: FloatArray, errors: FloatArray, scale: FloatArray) -> "Difficulty":
        """From features (n, 4) and absolute errors (n,); the same difficulty for all where there are few rows."""
        from scipy.optimize import minimize

        usual = cls.equal(errors, scale)
        if len(errors) < _FEWEST_ROWS or not errors.any():
            return usual
        logs = _logs(features, scale)
        relative = errors / np.exp(usual.intercept)

        def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
            exponents = parameters[0] + logs @ parameters[1:]
            ratios = relative * np.exp(-exponents)
            pull = _SHRINKAGE * parameters[1:] / len(errors)
            value = float(np.mean(exponents + ratios) + 0.5 * pull @ parameters[1:])
            slopes = (1.0 - ratios) / len(errors)
            return value, np.concatenate([[slopes.sum()], slopes @ logs + pull])

        bounds = [(-10.0, 10.0)] + [(0.0, 3.0)] * N_FEATURES
        found = minimize(loss, np.zeros(1 + N_FEATURES), jac=True, method="L-BFGS-B", bounds=bounds)
        return cls(scale, np.asarray(found.x[1:]), usual.intercept + float(found.x[0]))

    def __call__(self, features: FloatArray) -> FloatArray:
        """Features (B, 4) -> expected absolute errors (B,), > 0, in the unit of the errors it was fitted to."""
        return np.asarray(np.exp(self.intercept + _logs(features, self.scale) @ self.weights))


def _logs(features: FloatArray, scale: FloatArray) -> FloatArray:
    return np.log(features / scale + _OFFSET)
