"""How the bonds of each atom are spread over directions: Steinhardt's order parameters, without spherical harmonics.

Steinhardt et al., Phys. Rev. B 28 (1983) 784. Q_l² = sum_jk w_j w_k P_l(cos of the angle jk) / (sum_j w_j)², and a
sum of (n_j . n_k)^p is the squared length of the tensor sum_j w_j n_j ⊗ ... ⊗ n_j: no pair of bonds is visited. As
n . n = 1, tensors of lower even (odd) rank are traces of those of rank 6 (3).
"""

from math import factorial

import numpy as np
import numpy.typing as npt

from app.learning.descriptors.bonds import Pairs

FloatArray = npt.NDArray[np.float64]

DEGREES = (1, 2, 3, 4, 6)

_EVEN, _ODD = 6, 3
_LEGENDRE = {
    1: {1: 1.0},
    2: {2: 3 / 2, 0: -1 / 2},
    3: {3: 5 / 2, 1: -3 / 2},
    4: {4: 35 / 8, 2: -30 / 8, 0: 3 / 8},
    6: {6: 231 / 16, 4: -315 / 16, 2: 105 / 16, 0: -5 / 16},
}
"""Coefficients by power of the cosine."""
_SMOOTH = 1e-6
"""Added below a root: no kink at 0, and rounding does not show where symmetry makes a number 0."""


def _exponents(rank: int) -> list[tuple[int, int, int]]:
    """Of x, y and z in the entries of a symmetric tensor."""
    return [(a, b, rank - a - b) for a in range(rank + 1) for b in range(rank - a + 1)]


def _trace(rank: int) -> FloatArray:
    """The matrix from the entries of a tensor of `rank` to those of its trace, of rank - 2."""
    entries = _exponents(rank)
    matrix = np.zeros((len(_exponents(rank - 2)), len(entries)))
    for row, (a, b, c) in enumerate(_exponents(rank - 2)):
        for entry in ((a + 2, b, c), (a, b + 2, c), (a, b, c + 2)):
            matrix[row, entries.index(entry)] = 1.0
    return matrix


_MULTIPLICITIES = {
    rank: np.array([factorial(rank) / (factorial(a) * factorial(b) * factorial(c)) for a, b, c in _exponents(rank)])
    for rank in range(1, _EVEN + 1)
}
_TRACES = {rank: _trace(rank) for rank in (6, 4, 3)}
_ENTRIES = np.array(_exponents(_EVEN) + _exponents(_ODD))
_N_EVEN = len(_exponents(_EVEN))


def order_parameters(pairs: Pairs, several_weights: FloatArray) -> FloatArray:
    """Q_l of each atom for each weighting of its bonds, (W, E) -> (W, len(DEGREES), N), 0 to 1."""
    directions = (pairs.vectors / pairs.distances[:, None]).T
    powers = [np.ones_like(directions)]
    for _ in range(_EVEN):
        powers.append(powers[-1] * directions)
    table = np.stack(powers)
    entries = table[_ENTRIES[:, 0], 0] * table[_ENTRIES[:, 1], 1] * table[_ENTRIES[:, 2], 2]
    found = []
    for weights in several_weights:
        tensors = np.add.reduceat(entries * weights, pairs.starts, axis=1) / pairs.summed(weights)
        cosines = _mean_powers(tensors)
        squared = [sum(factor * cosines[power] for power, factor in _LEGENDRE[degree].items()) for degree in DEGREES]
        found.append(np.sqrt(np.maximum(np.stack(squared), 0.0) + _SMOOTH))
    return np.stack(found)


def _mean_powers(tensors: FloatArray) -> dict[int, FloatArray]:
    """Mean powers of cosines, each (N,), from the entries of the tensors of rank 6 and 3, (38, N)."""
    by_rank = {_EVEN: tensors[:_N_EVEN], _ODD: tensors[_N_EVEN:]}
    by_rank[4] = _TRACES[6] @ by_rank[6]
    by_rank[2] = _TRACES[4] @ by_rank[4]
    by_rank[1] = _TRACES[3] @ by_rank[3]
    lengths = {rank: _MULTIPLICITIES[rank] @ entries**2 for rank, entries in by_rank.items()}
    return lengths | {0: np.ones(tensors.shape[1])}
