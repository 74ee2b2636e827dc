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

from app.learning.descriptors.bond_sites import (
    CHARGE,
    DIFFERENCE,
    LOCAL_PROPERTIES,
    LOCAL_TABLE,
    site_names,
    site_quantities,
)
from app.learning.descriptors.bond_springs import electron_springs, frequency_moments, gordy_springs
from app.learning.descriptors.bonds import (
    ATOMIC_WEIGHT,
    COVALENT_RADIUS,
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

_RELATIVE_LENGTHS = np.arange(0.75, 2.4, 0.1)
_LENGTHS = np.arange(1.4, 5.4, 0.3)
_SMOOTH = 1e-6
_DENSITY = 1.66054
"""g/cm3 of one atomic mass unit in one Å3."""
_ATOMIC_VOLUME = elemental("GSvolume_pa")
_MELTING_POINT = elemental("MeltingT") / 1000.0
_SPRINGS = {"Gordy": gordy_springs, "electrons": electron_springs}

_ALL_STATISTICS = tuple(
    f"{statistic} {name}" for statistic in ("mean", "spread", "lowest", "highest") for name in site_names((*_SPRINGS,))
)
# The mean charge is zero but for rounding; lowest differences of elements gain nothing in cross-validation.
_TAKEN = np.array(
    [not (name == f"mean {CHARGE}" or name.startswith(f"lowest {DIFFERENCE}")) for name in _ALL_STATISTICS]
)


def _statistics(values: FloatArray) -> FloatArray:
    """Quantities of sites (Q, N) -> those of `_ALL_STATISTICS` that are taken.

    Below a deviation of about 0.001 the root flattens: rounding must not become a feature once columns are scaled.
    """
    spread = np.sqrt(values.var(axis=1) + _SMOOTH)
    found = np.concatenate([values.mean(axis=1), spread, values.min(axis=1), values.max(axis=1)])
    return np.asarray(found[_TAKEN])


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
    square, cube = after * after, after * after * after
    shares = np.stack(
        [1 - 3 * (after - square) - cube, 3 * cube - 6 * square + 4, 3 * (square + after - cube) + 1, cube]
    )
    # Four points more at each end take what lies outside.
    first = np.clip(below.astype(np.int64), -3, grid.shape[0] + 1) + 3
    points = first + np.arange(4)[:, None]
    total = np.bincount(points.ravel(), (shares * weights).ravel() / 6, grid.shape[0] + 8)
    return np.asarray(total[4 : 4 + grid.shape[0]])


_SPRING_NAMES = tuple(
    f"{name} ({springs})"
    for springs in _SPRINGS
    for name in (
        "second moment of the frequencies", "fourth moment of the frequencies", "log spread of the frequencies",
        "log springs per volume", "log elastic energy per volume",
    )
)  # fmt: skip


def _vibrations(crystal: Crystal, bonds: Bonds, springs: dict[str, FloatArray]) -> FloatArray:
    parts = []
    for each in springs.values():
        energies = np.array([each.sum(), each @ bonds.pairs.distances**2])
        parts += [frequency_moments(crystal, bonds, each), np.log(energies / crystal.volume)]
    return np.concatenate(parts)


_COVARIANCE_NAMES = tuple(f"covariance of {name}" for name in LOCAL_PROPERTIES)


def _covariances(crystal: Crystal, bonds: Bonds) -> FloatArray:
    """Of each elemental property at a site with its mean over the neighbours."""
    own = LOCAL_TABLE[crystal.atomic_numbers]
    # From the lowest value on, what is equal everywhere is exactly zero.
    lowest = own.min(axis=0)
    neighbours = bonds.mean(LOCAL_TABLE[bonds.pairs.elements[:, 1]] - lowest)
    centred = own - lowest - (own - lowest).mean(axis=0)
    return np.asarray((centred * neighbours).mean(axis=0))


_BOND_NAMES = (
    "log bonds over length³ per atom", "log decayed bonds per volume", "mean strength of bonds (1000 K)",
    "log strength of bonds per volume", "log strength per bond and volume", "ionic character of bonds",
    "share of bonds between equal elements", "mean squared electronegativity difference",
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
            np.log((weights / near.distances**3).sum() / crystal.n_sites),
            np.log((weights * np.exp(-1.2 * near.distances)).sum() / volume),
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


_SUM_NAMES = ("bond valence per volume (1/Å3)", "log stiffness per volume", "mean absolute charge")


def _sums(crystal: Crystal, pairs: Pairs, sites: FloatArray) -> FloatArray:
    named = dict(zip(site_names((*_SPRINGS,)), sites, strict=True))
    volume = crystal.volume
    stiffness, charges = named["stiffness"], named[CHARGE]
    return np.array([pairs.valence.sum() / volume, np.log(stiffness.sum() / volume), np.abs(charges).mean()])


BOND_NAMES: tuple[str, ...] = (
    *_VOLUME_NAMES,
    *_DISTRIBUTION_NAMES,
    *(name for name, taken in zip(_ALL_STATISTICS, _TAKEN, strict=True) if taken),
    *_SUM_NAMES,
    *_SPRING_NAMES,
    *_COVARIANCE_NAMES,
    *_BOND_NAMES,
)
"""Columns of `bond_descriptors`, with units where they have any."""


def bond_descriptors(crystal: Crystal) -> FloatArray:
    """(len(BOND_NAMES),) float64.

    Raises IsolatedAtom for an atom without a neighbour within 6 Å, StructureTooLarge, UnphysicalStructure.
    """
    pairs = find_pairs(crystal)
    bonds = find_bonds(pairs)
    springs = {name: make(bonds) for name, make in _SPRINGS.items()}
    sites = site_quantities(crystal, pairs, bonds, springs)
    return np.concatenate(
        [
            _volume(crystal),
            _distributions(pairs, crystal.n_sites),
            _statistics(sites),
            _sums(crystal, pairs, sites),
            _vibrations(crystal, bonds, springs),
            _covariances(crystal, bonds),
            _bonds(crystal, bonds),
        ]
    )
