"""Whether ions fit into a perovskite: Goldschmidt's tolerance factor and the octahedral factor.

t = (r_A + r_X) / (sqrt(2) (r_B + r_X)) (Goldschmidt, Naturwissenschaften 14, 477, 1926) is 1 where A fills the hole
between octahedra; mu = r_B / r_X (Li, Soh & Wu, J. Alloys Compd. 372, 40, 2004) says whether B fits into one. Radii are
Shannon's (Acta Cryst. A 32, 751, 1976; pymatgen's table), of A with 12 neighbours, of the others with 6; where those
are not tabulated, with the nearest number that is. Of a double perovskite the mean of both cations in octahedra counts.
"""

from dataclasses import dataclass
from functools import cache
from math import sqrt

from app.screening.generation.assignments import ANION, Assignment
from app.screening.generation.prototypes import Prototype
from app.screening.generator import PerovskiteFit, PrototypeName
from app.structures.elements import SYMBOLS

_CAGE = "A"
_NEIGHBOURS = {"II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12}
_IN_CAGE, _IN_OCTAHEDRON = 12, 6
_PEROVSKITES = frozenset({PrototypeName.PEROVSKITE, PrototypeName.DOUBLE_PEROVSKITE})


@dataclass(frozen=True, slots=True)
class Factors:
    """`tolerance` is t, `octahedral` mu; plain numbers."""

    tolerance: float
    octahedral: float


def fits(prototype: Prototype, assignment: Assignment, wanted: PerovskiteFit | None) -> bool:
    """True where nothing is wanted, and for what is no perovskite; False where a radius is not known."""
    if wanted is None or prototype.name not in _PEROVSKITES:
        return True
    found = perovskite_factors(prototype, assignment)
    if found is None:
        return False
    (t_low, t_high), (mu_low, mu_high) = wanted.tolerance, wanted.octahedral
    return t_low <= found.tolerance <= t_high and mu_low <= found.octahedral <= mu_high


def perovskite_factors(prototype: Prototype, assignment: Assignment) -> Factors | None:
    """None: the structure is no perovskite, charges do not balance, or Shannon gives no radius of an ion."""
    if prototype.name not in _PEROVSKITES or assignment.charges is None:
        return None
    radii = {
        site: _radius(z, charge, _IN_CAGE if site == _CAGE else _IN_OCTAHEDRON)
        for site, z, charge in zip(prototype.elements, assignment.new, assignment.charges, strict=True)
    }
    known = {site: radius for site, radius in radii.items() if radius is not None}
    if len(known) < len(radii):
        return None
    cage, anion = known.pop(_CAGE), known.pop(ANION)
    inside = sum(known.values()) / len(known)
    return Factors((cage + anion) / (sqrt(2) * (inside + anion)), inside / anion)


@cache
def _radius(z: int, charge: int, n_neighbours: int) -> float | None:
    """Å; of iron and its like in high spin."""
    from pymatgen.core.periodic_table import Element

    tabulated = Element(SYMBOLS[z]).data.get("Shannon radii") or {}
    by_spin = {_NEIGHBOURS[n]: spins for n, spins in tabulated.get(str(charge), {}).items() if n in _NEIGHBOURS}
    if not by_spin:
        return None
    nearest = min(by_spin, key=lambda n: (abs(n - n_neighbours), n))
    spins = by_spin[nearest]
    radius = float((spins.get("High Spin") or next(iter(spins.values())))["ionic_radius"])
    return radius if radius > 0 else None
