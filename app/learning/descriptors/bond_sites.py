"""What bonds say of each site of a crystal."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from app.learning.descriptors.bond_angles import DEGREES, order_parameters
from app.learning.descriptors.bond_springs import site_frequencies
from app.learning.descriptors.bonds import CUTOFF, ELECTRONEGATIVITY, VALENCE_ELECTRONS, Bonds, Pairs, elemental
from app.structures.crystal import Crystal

FloatArray = npt.NDArray[np.float64]

LOCAL_PROPERTIES = (
    "Number", "MendeleevNumber", "Column", "Row", "CovalentRadius", "Electronegativity", "NValence", "NpValence",
    "NdValence", "NUnfilled", "GSvolume_pa", "MeltingT",
)  # fmt: skip
LOCAL_TABLE = np.stack([elemental(name) for name in LOCAL_PROPERTIES], axis=1)
"""By atomic number, (101, len(LOCAL_PROPERTIES))."""
CHARGE = "charge"
DIFFERENCE = "difference of"
WEIGHTINGS = ("bond", "shell")

_WOLF_DAMPING = 0.3
_LEAST_VALENCE = 1e-3


def site_names(springs: tuple[str, ...]) -> tuple[str, ...]:
    """Rows of `site_quantities`, with units where they have any."""
    return (
        "relative length of the shortest bond", "length of the shortest bond (Å)", "coordination number",
        "log bond valence", "stiffness", "relative bond length", "bond length (Å)",
        "electronegativity difference in bonds", CHARGE, "potential", "electrostatic energy",
        *(f"{name} ({each})" for each in springs for name in ("frequency alone", "highest frequency in pairs")),
        *(f"Q{degree} ({weighting} weights)" for weighting in WEIGHTINGS for degree in DEGREES),
        *(f"{DIFFERENCE} {name}" for name in LOCAL_PROPERTIES),
    )  # fmt: skip


def site_quantities(crystal: Crystal, pairs: Pairs, bonds: Bonds, springs: Mapping[str, FloatArray]) -> FloatArray:
    """(len(site_names), N); `springs` are the constants (E,) of the bonds, by name."""
    near, weights = bonds.pairs, bonds.weights
    lengths = near.distances
    stiffness = near.summed(weights * near.geometric_mean(VALENCE_ELECTRONS) / lengths**2.5)
    ionic = np.abs(near.difference(ELECTRONEGATIVITY))
    charges, potentials = _charges(pairs)
    rows = [
        pairs.least(pairs.relative),
        pairs.least(pairs.distances),
        bonds.coordination,
        np.log(pairs.summed(pairs.valence) + _LEAST_VALENCE),
        stiffness,
        *bonds.mean(np.stack([near.relative, lengths, ionic], axis=1)).T,
        charges,
        potentials,
        potentials * charges,
        *(row for each in springs.values() for row in site_frequencies(crystal, bonds, each)),
        *order_parameters(near, np.stack([weights, bonds.shells])).reshape(-1, crystal.n_sites),
        *bonds.mean(np.abs(near.difference(LOCAL_TABLE))).T,
    ]
    return np.stack(rows)


def _charges(pairs: Pairs) -> tuple[FloatArray, FloatArray]:
    """Charges (N,), drawn along bonds by the more electronegative atom, and their damped, cut off potentials (N,)."""
    from scipy.special import erfc

    charges = pairs.summed(pairs.valence * pairs.difference(ELECTRONEGATIVITY))
    at_cutoff = erfc(_WOLF_DAMPING * CUTOFF) / CUTOFF
    coulomb = erfc(_WOLF_DAMPING * pairs.distances) / pairs.distances - at_cutoff
    return charges, pairs.summed(coulomb * charges[pairs.neighbour])
