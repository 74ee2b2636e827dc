"""Units in which labels of a property are often written, beside its own (CODATA 2022)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OTHER_UNITS: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "eV": MappingProxyType({"meV": 1e-3, "kJ/mol": 0.0103642697, "cm-1": 1.23984198e-4}),
        "eV/atom": MappingProxyType({"meV/atom": 1e-3, "kJ/mol": 0.0103642697}),
        "GPa": MappingProxyType({"Pa": 1e-9, "kPa": 1e-6, "MPa": 1e-3, "kbar": 0.1, "Mbar": 100.0, "eV/Å3": 160.21766}),
        "cm-1": MappingProxyType({"THz": 33.35641, "meV": 8.0655439}),
    }
)
"""Of a property's unit: by another unit, what a value in that is multiplied with.

Without Ry and Ha: small energies, of which there often are some, would pass for these.
"""

SMALLEST_TOLD_APART: Final[Mapping[str, float]] = MappingProxyType(
    {"eV": 1e-3, "eV/atom": 1e-3, "GPa": 1e-2, "cm-1": 1.0}
)
"""By unit: what is smaller in size is a zero with noise, which says nothing of a unit."""
