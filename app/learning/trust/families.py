"""Families of compounds by their anion: the first of the list that has one of its elements."""

import re
from collections.abc import Collection

_FAMILIES = (
    ("oxides", {"O"}),
    ("halides", {"F", "Cl", "Br", "I"}),
    ("chalcogenides", {"S", "Se", "Te"}),
    ("pnictides", {"N", "P", "As", "Sb", "Bi"}),
    ("hydrides, borides and carbides", {"H", "B", "C"}),
)
FAMILIES = (*(name for name, _ in _FAMILIES), "intermetallics")
_ELEMENT = re.compile(r"[A-Z][a-z]?")


def family_of(elements: Collection[str]) -> str:
    """One of FAMILIES for a set of element symbols; oxides with other anions too are oxides."""
    return next((name for name, anions in _FAMILIES if not anions.isdisjoint(elements)), FAMILIES[-1])


def elements_in(key: str) -> frozenset[str]:
    """Element symbols of a composition key such as `O2Si`."""
    return frozenset(_ELEMENT.findall(key))
