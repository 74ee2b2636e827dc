"""Structure types, each by a compound that has it, in its primitive cell.

Cell edges in Å and free coordinates are those that X-ray diffraction gave at room temperature, as textbooks and the
Inorganic Crystal Structure Database have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from app.screening.generator import PrototypeName
from app.structures.crystal import Crystal, FloatArray
from app.structures.elements import ATOMIC_NUMBERS

_FACE_CENTRED = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
_BODY_CENTRED = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]])
_RHOMBOHEDRAL = np.array([[2.0, 1.0, 1.0], [-1.0, 1.0, 1.0], [-1.0, -2.0, 1.0]]) / 3.0
_PRIMITIVE = np.eye(3)


@dataclass(frozen=True, slots=True)
class Prototype:
    """A structure whose elements may be exchanged.

    `sites` names the site of each atom: `X` the anion of ionic types, `A`, `B`, ... the others. Exchanging the elements
    of two sites of `alike` gives the same structure.
    """

    name: str
    crystal: Crystal
    sites: tuple[str, ...]
    is_ionic: bool
    alike: tuple[str, ...] = ()

    @property
    def elements(self) -> dict[str, int]:
        """Atomic number of each site, in the order of their letters."""
        numbers = dict(zip(self.sites, self.crystal.atomic_numbers.tolist(), strict=True))
        return dict(sorted(numbers.items()))


@cache
def prototypes() -> dict[PrototypeName, Prototype]:
    """All of them."""
    return {**_cubic(), **_other(), **_intermetallic()}


def _cubic() -> dict[PrototypeName, Prototype]:
    name, s, u = PrototypeName, 0.25, 0.2624
    w = 0.265
    return {
        name.ROCKSALT: _make("rocksalt", 5.640, _FACE_CENTRED, {"A": "Na", "X": "Cl"}, A=[(0, 0, 0)], X=[(0.5, 0, 0)]),
        name.CESIUM_CHLORIDE: _make(
            "cesium_chloride", 4.123, _PRIMITIVE, {"A": "Cs", "X": "Cl"}, A=[(0, 0, 0)], X=[(0.5, 0.5, 0.5)]
        ),
        name.ZINCBLENDE: _make("zincblende", 5.409, _FACE_CENTRED, {"A": "Zn", "X": "S"}, A=[(0, 0, 0)], X=[(s, s, s)]),
        name.FLUORITE: _make(
            "fluorite", 5.463, _FACE_CENTRED, {"A": "Ca", "X": "F"}, A=[(0, 0, 0)], X=[(s, s, s), (-s, -s, -s)]
        ),
        name.ANTIFLUORITE: _make(
            "antifluorite", 4.619, _FACE_CENTRED, {"A": "Li", "X": "O"}, A=[(s, s, s), (-s, -s, -s)], X=[(0, 0, 0)]
        ),
        name.PEROVSKITE: _make(
            "perovskite", 3.905, _PRIMITIVE, {"A": "Sr", "B": "Ti", "X": "O"},
            A=[(0.5, 0.5, 0.5)], B=[(0, 0, 0)], X=[(0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)],
        ),
        name.DOUBLE_PEROVSKITE: _make(
            "double_perovskite", 8.112, _FACE_CENTRED, {"A": "Ba", "B": "Mg", "C": "W", "X": "O"}, alike=("B", "C"),
            A=[(s, s, s), (-s, -s, -s)], B=[(0.5, 0.5, 0.5)], C=[(0, 0, 0)],
            X=[(w, 0, 0), (-w, 0, 0), (0, w, 0), (0, -w, 0), (0, 0, w), (0, 0, -w)],
        ),
        name.SPINEL: _make(
            "spinel", 8.083, _FACE_CENTRED, {"A": "Mg", "B": "Al", "X": "O"},
            A=[(0.125, 0.125, 0.125), (-0.125, -0.125, -0.125)],
            B=[(0.5, 0.5, 0.5), (0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5)],
            X=[
                (sign * x, sign * y, sign * z)
                for sign in (1, -1)
                for x, y, z in ((u, u, u), (u, s - u, s - u), (s - u, u, s - u), (s - u, s - u, u))
            ],
        ),
    }  # fmt: skip


def _other() -> dict[PrototypeName, Prototype]:
    name, third, u, x = PrototypeName, 1.0 / 3.0, 0.305, 0.291
    return {
        name.WURTZITE: _make(
            "wurtzite", _hexagonal(3.250, 5.207), _PRIMITIVE, {"A": "Zn", "X": "O"},
            A=[(third, -third, 0), (-third, third, 0.5)], X=[(third, -third, 0.382), (-third, third, 0.882)],
        ),
        name.NICKEL_ARSENIDE: _make(
            "nickel_arsenide", _hexagonal(3.446, 5.877), _PRIMITIVE, {"A": "Fe", "X": "S"},
            A=[(0, 0, 0), (0, 0, 0.5)], X=[(third, -third, 0.25), (-third, third, 0.75)],
        ),
        name.RUTILE: _make(
            "rutile", np.diag([4.594, 4.594, 2.959]), _PRIMITIVE, {"A": "Ti", "X": "O"},
            A=[(0, 0, 0), (0.5, 0.5, 0.5)],
            X=[(u, u, 0), (-u, -u, 0), (0.5 - u, 0.5 + u, 0.5), (0.5 + u, 0.5 - u, 0.5)],
        ),
        name.ALPHA_NAFEO2: _make(
            "alpha_nafeo2", _hexagonal(2.816, 14.05), _RHOMBOHEDRAL, {"A": "Li", "B": "Co", "X": "O"},
            A=[(0, 0, 0.5)], B=[(0, 0, 0)], X=[(0, 0, 0.2395), (0, 0, -0.2395)],
        ),
        name.CHALCOPYRITE: _make(
            "chalcopyrite", np.diag([5.757, 5.757, 10.304]), _BODY_CENTRED, {"A": "Ag", "B": "Ga", "X": "S"},
            A=[(0, 0, 0), (0, 0.5, 0.25)], B=[(0, 0, 0.5), (0, 0.5, 0.75)],
            X=[(x, 0.25, 0.125), (-x, 0.75, 0.125), (0.75, x, 0.875), (0.25, -x, 0.875)],
        ),
    }  # fmt: skip


def _intermetallic() -> dict[PrototypeName, Prototype]:
    name, s = PrototypeName, 0.25
    return {
        name.HALF_HEUSLER: _make(
            "half_heusler", 5.93, _FACE_CENTRED, {"A": "Ti", "B": "Ni", "C": "Sn"}, is_ionic=False, alike=("A", "C"),
            A=[(0, 0, 0)], B=[(s, s, s)], C=[(0.5, 0.5, 0.5)],
        ),
        name.FULL_HEUSLER: _make(
            "full_heusler", 5.825, _FACE_CENTRED, {"A": "Ni", "B": "Mn", "C": "Ga"}, is_ionic=False, alike=("B", "C"),
            A=[(s, s, s), (-s, -s, -s)], B=[(0, 0, 0)], C=[(0.5, 0.5, 0.5)],
        ),
        name.B2: _make(
            "b2", 2.887, _PRIMITIVE, {"A": "Ni", "B": "Al"}, is_ionic=False, alike=("A", "B"),
            A=[(0, 0, 0)], B=[(0.5, 0.5, 0.5)],
        ),
        name.L12: _make(
            "l12", 3.749, _PRIMITIVE, {"A": "Au", "B": "Cu"}, is_ionic=False,
            A=[(0, 0, 0)], B=[(0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
        ),
    }  # fmt: skip


def _hexagonal(a: float, c: float) -> FloatArray:
    return np.array([[a, 0.0, 0.0], [-a / 2, a * np.sqrt(3) / 2, 0.0], [0.0, 0.0, c]])


def _make(
    name: str,
    cell: float | FloatArray,
    centring: FloatArray,
    elements: Mapping[str, str],
    *,
    is_ionic: bool = True,
    alike: tuple[str, ...] = (),
    **positions: list[tuple[float, float, float]],
) -> Prototype:
    """`cell` is the conventional one (a cubic edge or rows), `positions` are fractions of it; `centring` makes it
    primitive."""
    conventional = np.eye(3) * cell if isinstance(cell, float) else cell
    sites = tuple(site for site, places in positions.items() for _ in places)
    fractions = np.array([place for places in positions.values() for place in places], dtype=np.float64)
    numbers = np.array([ATOMIC_NUMBERS[elements[site]] for site in sites], dtype=np.int64)
    crystal = Crystal(centring @ conventional, (fractions @ np.linalg.inv(centring)) % 1.0, numbers)
    return Prototype(name, crystal, sites, is_ionic, alike)
