"""Vibrations of a crystal whose bonds are springs, from local sums alone.

The dynamical matrix of longitudinal springs k_ij has the squared frequencies of all wave vectors as eigenvalues; their
first two moments are sums over sites and bonds (Cyrot-Lackmann's moments), so that no cell is preferred.
"""

import numpy as np
import numpy.typing as npt

from app.learning.descriptors.bonds import ATOMIC_WEIGHT, ELECTRONEGATIVITY, VALENCE_ELECTRONS, Bonds
from app.structures.crystal import Crystal

FloatArray = npt.NDArray[np.float64]

_UPPER = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_COUNTED = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


def gordy_springs(bonds: Bonds) -> FloatArray:
    """Of each bond (E,), mdyn/Å: 1.67 N (X_A X_B / d²)^(3/4), with the bond's valence as its order N.

    Gordy, J. Chem. Phys. 14 (1946) 305; without its constant, which bonds that end must not have.
    """
    pairs = bonds.pairs
    attraction = (pairs.geometric_mean(ELECTRONEGATIVITY) / pairs.distances) ** 1.5
    return 1.67 * bonds.weights * pairs.valence * attraction


def electron_springs(bonds: Bonds) -> FloatArray:
    """Of each bond (E,), 1/Å3: the valence electrons that both atoms have for each of their bonds (geometric mean) over
    the cube of its length, as in Badger's rule, J. Chem. Phys. 2 (1934) 128."""
    pairs = bonds.pairs
    coordination = np.sqrt(bonds.coordination[pairs.centre] * bonds.coordination[pairs.neighbour])
    return bonds.weights * pairs.geometric_mean(VALENCE_ELECTRONS) / coordination / pairs.distances**3


def frequency_moments(crystal: Crystal, bonds: Bonds, springs: FloatArray) -> FloatArray:
    """(3,): root of the mean squared frequency, fourth root of the mean of the fourth powers, and the logarithm of how
    much the squared frequencies spread, mean square over squared mean."""
    pairs = bonds.pairs
    masses = ATOMIC_WEIGHT[crystal.atomic_numbers]
    directions = pairs.vectors / pairs.distances[:, None]
    outer = np.stack([directions[:, a] * directions[:, b] for a, b in _UPPER], axis=1)
    own = pairs.summed(springs[:, None] * outer)
    first = (own[:, :3].sum(axis=1) / masses).sum() / (3 * crystal.n_sites)
    bonded = (springs**2 / ATOMIC_WEIGHT[pairs.elements].prod(axis=1)).sum()
    second = (((own**2 @ _COUNTED) / masses**2).sum() + bonded) / (3 * crystal.n_sites)
    return np.array([first**0.5, second**0.25, np.log(second / first**2)])


def site_frequencies(crystal: Crystal, bonds: Bonds, springs: FloatArray) -> FloatArray:
    """(2, N): of each atom while the others rest, and the highest of its bonds as molecules of two."""
    pairs = bonds.pairs
    alone = np.sqrt(pairs.summed(springs) / (3 * ATOMIC_WEIGHT[crystal.atomic_numbers]))
    masses = ATOMIC_WEIGHT[pairs.elements]
    in_pairs = np.sqrt(springs * masses.sum(axis=1) / masses.prod(axis=1))
    return np.stack([alone, np.maximum.reduceat(in_pairs, pairs.starts)])
