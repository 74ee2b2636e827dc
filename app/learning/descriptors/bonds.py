"""Bonds of a crystal: pairs of atoms with weights that fall smoothly to zero, nothing that jumps.

All that is made of them is the same for another order, origin, orientation, supercell or choice of cell.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from app.core.errors import IsolatedAtom
from app.learning.descriptors.element_table import element_table
from app.learning.descriptors.surroundings import SAME_POINT, find_surroundings
from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CUTOFF = 6.0
"""Å. Atoms further apart do not see each other."""

_TAPER = 1.5
"""Å. Over so much before the cutoff a pair fades away."""
_VALENCE_DECAY = 0.37
"""Å. Bond valences fall by e over so much (Brown & Altermatt, Acta Cryst. B 41 (1985) 244)."""
_NEGLIGIBLE = 20.0
"""Exponent from which a weight, e to the minus that, is none."""


def elemental(name: str) -> FloatArray:
    """A property of the element table by atomic number, (101,)."""
    table = element_table()
    return table.values[:, table.names.index(name)]


COVALENT_RADIUS = elemental("CovalentRadius") / 100.0
"""Å."""
ELECTRONEGATIVITY = elemental("Electronegativity")
VALENCE_ELECTRONS = elemental("NValence")
ATOMIC_WEIGHT = elemental("AtomicWeight")


@dataclass(frozen=True)
class Pairs:
    """Directed pairs, grouped by centre; every atom has at least one.

    Dimensions: N sites, E pairs.
        centre, neighbour  (E,) int64
        elements           (E, 2) int64, atomic numbers of the two
        vectors            (E, 3) Å
        distances          (E,) Å
        relative           (E,) distance over the sum of covalent radii
        taper              (E,) 1, falling to 0 at the cutoff
        valence            (E,) exp((sum of covalent radii - distance) / 0.37 Å), tapered; of a single bond about 1
        starts             (N,) where the pairs of each centre begin
    """

    centre: IntArray
    neighbour: IntArray
    elements: IntArray
    vectors: FloatArray
    distances: FloatArray
    relative: FloatArray
    taper: FloatArray
    valence: FloatArray
    starts: IntArray

    def summed(self, values: FloatArray) -> FloatArray:
        """(E, ...) -> (N, ...)."""
        return np.add.reduceat(values, self.starts, axis=0)

    def least(self, values: FloatArray) -> FloatArray:
        """(E,) -> (N,)."""
        return np.minimum.reduceat(values, self.starts)

    def difference(self, table: FloatArray) -> FloatArray:
        """Of an elemental property (101, ...), the neighbour's less the centre's, (E, ...)."""
        return table[self.elements[:, 1]] - table[self.elements[:, 0]]

    def geometric_mean(self, table: FloatArray) -> FloatArray:
        """Of an elemental property (101,) of the two, (E,)."""
        return np.sqrt(table[self.elements[:, 0]] * table[self.elements[:, 1]])

    def take(self, chosen: IntArray) -> "Pairs":
        """Those at `chosen`, ascending, among which every atom must have one."""
        n_sites = self.starts.shape[0]
        centre = self.centre[chosen]
        counts = np.bincount(centre, minlength=n_sites)
        return Pairs(
            centre=centre,
            neighbour=self.neighbour[chosen],
            elements=self.elements[chosen],
            vectors=self.vectors[chosen],
            distances=self.distances[chosen],
            relative=self.relative[chosen],
            taper=self.taper[chosen],
            valence=self.valence[chosen],
            starts=counts.cumsum() - counts,
        )


@dataclass(frozen=True)
class Bonds:
    """Pairs with Hoppe's weights: 1 for the nearest neighbour of an atom, fading with the length.

    weights  (E,) exp(1 - (l / l_nearest)^6), l the relative length (Hoppe, Z. Kristallogr. 150 (1979) 23)
    shells   (E,) weights that fade more slowly, to zero at the last bond: (1 - u²)², u from 0 for the nearest to 1
    """

    pairs: Pairs
    weights: FloatArray
    shells: FloatArray

    @cached_property
    def coordination(self) -> FloatArray:
        """Effective coordination numbers, (N,)."""
        return self.pairs.summed(self.weights)

    def mean(self, values: FloatArray) -> FloatArray:
        """Weighted mean over the bonds of each atom, (E, ...) -> (N, ...)."""
        weights = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        coordination = self.coordination.reshape(-1, *(1,) * (values.ndim - 1))
        return self.pairs.summed(weights * values) / coordination


def find_pairs(crystal: Crystal) -> Pairs:
    """All pairs within `CUTOFF`. Raises IsolatedAtom for an atom without any, and what `find_surroundings` raises."""
    found = find_surroundings(crystal, CUTOFF)
    others = np.flatnonzero((found.distances > SAME_POINT) & (found.distances < CUTOFF))
    centre, neighbour = found.centre[others], found.neighbour[others]
    vectors, distances = found.vectors[others], found.distances[others]
    counts = np.bincount(centre, minlength=crystal.n_sites)
    _refuse_isolated(crystal, counts)
    elements = np.stack([crystal.atomic_numbers[centre], crystal.atomic_numbers[neighbour]], axis=1)
    single = COVALENT_RADIUS[elements].sum(axis=1)
    inside = np.clip((CUTOFF - distances) / _TAPER, 0.0, 1.0)
    taper = inside**2 * (3.0 - 2.0 * inside)
    valence = np.exp((single - distances) / _VALENCE_DECAY) * taper
    starts = counts.cumsum() - counts
    return Pairs(centre, neighbour, elements, vectors, distances, distances / single, taper, valence, starts)


def find_bonds(pairs: Pairs) -> Bonds:
    """The pairs whose weight is not negligible: of every atom those to its nearest neighbours, at least one.

    Lengths grow without bound as the taper falls, so that a bond at the cutoff has no weight.
    """
    stretched = pairs.relative / np.maximum(pairs.taper, np.finfo(np.float64).tiny)
    exponents = (stretched / pairs.least(stretched)[pairs.centre]) ** 6
    chosen = np.flatnonzero(exponents < _NEGLIGIBLE)
    kept = exponents[chosen]
    beyond = (kept ** (1 / 6) - 1.0) / (_NEGLIGIBLE ** (1 / 6) - 1.0)
    return Bonds(pairs.take(chosen), np.exp(1.0 - kept), (1.0 - beyond**2) ** 2)


def _refuse_isolated(crystal: Crystal, counts: IntArray) -> None:
    site = int(counts.argmin())
    if counts[site] == 0:
        raise IsolatedAtom(
            f"Atom {site + 1} ({SYMBOLS[int(crystal.atomic_numbers[site])]}) has no neighbour within {CUTOFF:g} Å: "
            "this model reads bonds.",
            site=site + 1,
        )
