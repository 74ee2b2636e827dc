"""Radial basis of SOAP: Gaussian type orbitals r^l exp(-α r²), orthonormalised after Löwdin.

Himanen et al., Comput. Phys. Commun. 247 (2020) 106949 (DScribe), whose numbers these are.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_DECAYED = 1e-3
"""What an orbital has fallen to at its radius, and a smeared atom at the edge of the padding."""


@dataclass(frozen=True, slots=True)
class RadialBasis:
    """`exponents` (l_max + 1, n_max) in Å⁻²; `mixing` (l_max + 1, n_max, n_max): orthonormal from plain orbitals."""

    exponents: FloatArray
    mixing: FloatArray


@lru_cache(maxsize=16)
def radial_basis(r_cut: float, n_max: int, l_max: int) -> RadialBasis:
    """Orbitals that have decayed at radii evenly spread from 1 Å to `r_cut` (Å, above 1)."""
    radii = np.linspace(1.0, r_cut, n_max)
    exponents = np.stack([-np.log(_DECAYED / radii**degree) / radii**2 for degree in range(l_max + 1)])
    mixing = np.stack([_inverse_root(_overlap(exponents[degree], degree)) for degree in range(l_max + 1)])
    return RadialBasis(exponents, mixing)


def cutoff_padding(sigma: float) -> float:
    """Å beyond `r_cut` at which a smeared atom still reaches into the sphere."""
    return float(sigma * np.sqrt(-2.0 * np.log(_DECAYED)))


def _overlap(exponents: FloatArray, degree: int) -> FloatArray:
    """∫ r² r^2l exp(-(α + α') r²) dr of all pairs, (n_max, n_max)."""
    from scipy.special import gamma

    total = exponents[:, None] + exponents[None, :]
    return np.asarray(0.5 * gamma(degree + 1.5) * total ** (-degree - 1.5))


def _inverse_root(matrix: FloatArray) -> FloatArray:
    """S^(-1/2) of a symmetric positive definite matrix."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors / np.sqrt(eigenvalues)) @ vectors.T)
