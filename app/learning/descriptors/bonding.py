"""Descriptors of bonds: what distances, angles and elements of neighbours say of a crystal.

The idea, and the differences of elemental properties between neighbours, are those of Ward et al., Phys. Rev. B 96
(2017) 024104, with Hoppe's effective coordination in place of Voronoi faces, for it does not jump. Further: packing of
covalent spheres; bond valences (Brown & Altermatt 1985), charges drawn along them by electronegativity, and their
electrostatic energy, summed as Wolf et al., J. Chem. Phys. 110 (1999) 8254, do; smeared pair distributions (Willighagen
et al., Acta Cryst. B 61 (2005) 29); Steinhardt's order parameters; the vibrations of a crystal of springs.

Every number is the same for another order, origin, orientation, supercell or choice of cell, and continuous in the
atoms' places. Statistics over sites are means, standard deviations, minima and maxima.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from app.learning.descriptors.bond_angles import DEGREES, order_parameters
from app.learning.descriptors.bond_springs import frequency_moments, site_frequencies, spring_constants
from app.learning.descriptors.bonds import (
    ATOMIC_WEIGHT,
    COVALENT_RADIUS,
    CUTOFF,
    ELECTRONEGATIVITY,
    VALENCE_ELECTRONS,
    Bonds,
    Pairs,
    elemental,
    find_bonds,
    find_pairs,
)
from app.structures.crystal import Crystal

FloatArray = npt.NDArray[np.float64]

_LOCAL_PROPERTIES = (
    "Number", "MendeleevNumber", "Column", "Row", "CovalentRadius", "Electronegativity", "NValence", "NpValence",
    "NdValence", "NUnfilled", "GSvolume_pa", "MeltingT",
)  # fmt: skip
_RELATIVE_LENGTHS = np.arange(0.75, 2.4, 0.1)
_LENGTHS = np.arange(1.4, 5.4, 0.3)
_WOLF_DAMPING = 0.3
_LEAST_VALENCE = 1e-3
_SMOOTH = 1e-6
_DENSITY = 1.66054
"""g/cm3 of one atomic mass unit in one Å3."""

_LOCAL_TABLE = np.stack([elemental(name) for name in _LOCAL_PROPERTIES], axis=1)
_ATOMIC_VOLUME = elemental("GSvolume_pa")
_MELTING_POINT = elemental("MeltingT") / 1000.0
_WEIGHTINGS = ("bond", "valence")
_STATISTICS = ("mean", "spread", "lowest", "highest")


def _over_sites(*names: str) -> tuple[str, ...]:
    return tuple(f"{statistic} {name}" for statistic in _STATISTICS for name in names)


def _statistics(values: FloatArray) -> FloatArray:
    """(Q, N) -> (4 Q,), in the order of `_over_sites`.

    Below a deviation of about 0.001 the root flattens: rounding must not become a feature once columns are scaled.
    """
    spread = np.sqrt(values.var(axis=1) + _SMOOTH)
    return np.concatenate([values.mean(axis=1), spread, values.min(axis=1), values.max(axis=1)])


_VOLUME_NAMES = (
    "log volume per atom (Å3)", "volume per atom (Å3)", "density (g/cm3)", "packing fraction of covalent spheres",
    "log volume over that of the elements",
)  # fmt: skip


def _volume(crystal: Crystal) -> FloatArray:
    volume, numbers = crystal.volume, crystal.atomic_numbers
    spheres = 4 / 3 * np.pi * (COVALENT_RADIUS[numbers] ** 3).sum()
    per_atom = volume / crystal.n_sites
    density = ATOMIC_WEIGHT[numbers].sum() / volume * _DENSITY
    return np.array(
        [np.log(per_atom), per_atom, density, spheres / volume, np.log(volume / _ATOMIC_VOLUME[numbers].sum())]
    )


_DISTRIBUTION_NAMES = (
    *(f"neighbours at relative length {length:.2f}" for length in _RELATIVE_LENGTHS),
    *(f"neighbours at {length:.1f} Å" for length in _LENGTHS),
)


def _distributions(pairs: Pairs, n_sites: int) -> FloatArray:
    """Smeared neighbours per atom, by length over the sum of covalent radii and by length."""
    by_relative = _smeared(pairs.relative, pairs.taper, _RELATIVE_LENGTHS)
    by_length = _smeared(pairs.distances, pairs.taper, _LENGTHS)
    return np.concatenate([by_relative, by_length]) / n_sites


def _smeared(lengths: FloatArray, weights: FloatArray, grid: FloatArray) -> FloatArray:
    """Sum of weights at each point of an even grid; a length is shared by four points as cubic B-splines share it.

    Close to Gaussians of a standard deviation of 0.58 steps.
    """
    places = (lengths - grid[0]) / (grid[1] - grid[0])
    below = np.floor(places)
    after = places - below
    shares = np.stack(
        [(1 - after) ** 3, (3 * after - 6) * after**2 + 4, ((3 - 3 * after) * after + 3) * after + 1, after**3]
    )
    # Four points more at each end take what lies outside.
    first = np.clip(below.astype(np.int64), -3, grid.shape[0] + 1) + 3
    points = first + np.arange(4)[:, None]
    total = np.bincount(points.ravel(), (shares * weights).ravel() / 6, grid.shape[0] + 8)
    return np.asarray(total[4 : 4 + grid.shape[0]])


_SITE_NAMES = _over_sites(
    "relative length of the shortest bond", "length of the shortest bond (Å)", "coordination number",
    "relative bond length", "bond length (Å)", "log bond valence", "electronegativity difference in bonds",
    "stiffness", "frequency alone", "highest frequency in pairs",
)  # fmt: skip
_SUM_NAMES = (
    "log bonds over length³ per atom", "bond valence per volume (1/Å3)", "log stiffness per volume",
    "log decayed bonds per volume",
)  # fmt: skip
_MOMENT_NAMES = (
    "second moment of the frequencies", "fourth moment of the frequencies", "log spread of the frequencies",
    "log springs per volume", "log elastic energy per volume",
)  # fmt: skip


def _sites(crystal: Crystal, pairs: Pairs, bonds: Bonds, springs: FloatArray) -> FloatArray:
    near, weights = bonds.pairs, bonds.weights
    volume, lengths = crystal.volume, near.distances
    valence = pairs.summed(pairs.valence)
    stiffness = near.summed(weights * near.geometric_mean(VALENCE_ELECTRONS) / lengths**2.5)
    ionic = np.abs(near.difference(ELECTRONEGATIVITY))
    means = bonds.mean(np.stack([near.relative, lengths, ionic], axis=1))
    of_sites = np.stack(
        [
            pairs.least(pairs.relative), pairs.least(pairs.distances), bonds.coordination, means[:, 0], means[:, 1],
            np.log(valence + _LEAST_VALENCE), means[:, 2], stiffness,
            *site_frequencies(crystal, bonds, springs),
        ]
    )  # fmt: skip
    sums = [
        np.log((weights / lengths**3).sum() / crystal.n_sites),
        valence.sum() / volume,
        np.log(stiffness.sum() / volume),
        np.log((weights * np.exp(-1.2 * lengths)).sum() / volume),
    ]
    moments = frequency_moments(crystal, bonds, springs)
    elastic = [np.log((springs * lengths**power).sum() / volume) for power in (0, 2)]
    return np.concatenate([_statistics(of_sites), sums, moments, elastic])


_CHARGE_NAMES = (
    "mean absolute charge", "spread charge", "lowest charge", "highest charge", *_over_sites("potential"),
    *_over_sites("electrostatic energy"),
)  # fmt: skip


def _charges(pairs: Pairs) -> FloatArray:
    """Charges flow along bonds to the more electronegative atom; their potentials are damped and cut off."""
    charges = pairs.summed(pairs.valence * pairs.difference(ELECTRONEGATIVITY))
    at_cutoff = erfc(_WOLF_DAMPING * CUTOFF) / CUTOFF
    coulomb = erfc(_WOLF_DAMPING * pairs.distances) / pairs.distances - at_cutoff
    potentials = pairs.summed(coulomb * charges[pairs.neighbour])
    # The mean charge is zero but for rounding, so the mean of absolute values stands in its place.
    own = _statistics(charges[None])
    own[0] = np.abs(charges).mean()
    return np.concatenate([own, _statistics(potentials[None]), _statistics((potentials * charges)[None])])


_LOCAL_NAMES = tuple(
    f"{statistic} of {name}"
    for statistic in ("mean difference", "spread of the difference", "highest difference", "covariance")
    for name in _LOCAL_PROPERTIES
)


def _local(crystal: Crystal, bonds: Bonds) -> FloatArray:
    """How much each elemental property differs between neighbours, and how neighbours go together."""
    differences = bonds.mean(np.abs(bonds.pairs.difference(_LOCAL_TABLE)))
    own = _LOCAL_TABLE[crystal.atomic_numbers]
    # From the lowest value on, what is equal everywhere is exactly zero.
    lowest = own.min(axis=0)
    neighbours = bonds.mean(_LOCAL_TABLE[bonds.pairs.elements[:, 1]] - lowest)
    centred = own - lowest - (own - lowest).mean(axis=0)
    mean, spread, _, highest = np.split(_statistics(differences.T), 4)
    return np.concatenate([mean, spread, highest, (centred * neighbours).mean(axis=0)])


_ANGLE_NAMES = tuple(
    name
    for weighting in _WEIGHTINGS
    for name in _over_sites(*(f"Q{degree} ({weighting} weights)" for degree in DEGREES))
)


def _angles(bonds: Bonds) -> FloatArray:
    weights = bonds.weights
    by_weighting = order_parameters(bonds.pairs, np.stack([weights, weights * bonds.pairs.valence]))
    return np.concatenate([_statistics(values) for values in by_weighting])


_BOND_NAMES = (
    "mean strength of bonds (1000 K)", "log strength of bonds per volume", "log strength per bond and volume",
    "ionic character of bonds", "share of bonds between equal elements", "mean squared electronegativity difference",
    "spread of bond lengths (Å)", "valence electrons of bonds", "valence electrons at bonds per volume",
    "valence electrons per volume (1/Å3)",
)  # fmt: skip


def _bonds(crystal: Crystal, bonds: Bonds) -> FloatArray:
    """Of all bonds together; strength is the geometric mean of the elements' melting points."""
    near, weights, volume = bonds.pairs, bonds.weights, crystal.volume
    total = weights.sum()
    shares = weights / total
    strength = weights * near.geometric_mean(_MELTING_POINT)
    difference = near.difference(ELECTRONEGATIVITY)
    lengths = near.distances - near.distances.min()
    per_coordination = 1.0 / bonds.coordination[near.centre]
    electrons = VALENCE_ELECTRONS[near.elements[:, 1]]
    return np.array(
        [
            strength.sum() / total,
            np.log(strength.sum() / volume),
            np.log((strength * per_coordination).sum() / volume),
            shares @ (1.0 - np.exp(-0.25 * difference**2)),
            shares @ (near.elements[:, 0] == near.elements[:, 1]),
            shares @ difference**2,
            np.sqrt(max(shares @ lengths**2 - (shares @ lengths) ** 2, 0.0) + _SMOOTH),
            shares @ near.geometric_mean(VALENCE_ELECTRONS),
            (weights * electrons * per_coordination).sum() / volume,
            VALENCE_ELECTRONS[crystal.atomic_numbers].sum() / volume,
        ]
    )


BOND_NAMES: tuple[str, ...] = (
    *_VOLUME_NAMES, *_DISTRIBUTION_NAMES, *_SITE_NAMES, *_SUM_NAMES, *_MOMENT_NAMES, *_CHARGE_NAMES, *_LOCAL_NAMES,
    *_ANGLE_NAMES, *_BOND_NAMES,
)  # fmt: skip
"""Columns of `bond_descriptors`, with units where they have any."""


def bond_descriptors(crystal: Crystal) -> FloatArray:
    """(len(BOND_NAMES),) float64.

    Raises IsolatedAtom for an atom without a neighbour within 6 Å, StructureTooLarge, UnphysicalStructure.
    """
    pairs = find_pairs(crystal)
    bonds = find_bonds(pairs)
    springs = spring_constants(bonds)
    return np.concatenate(
        [
            _volume(crystal),
            _distributions(pairs, crystal.n_sites),
            _sites(crystal, pairs, bonds, springs),
            _charges(pairs),
            _local(crystal, bonds),
            _angles(bonds),
            _bonds(crystal, bonds),
        ]
    )
