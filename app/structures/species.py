"""Element symbols as structure files write them: with charges, numbers and labels."""

import re
from functools import lru_cache

from app.core.errors import DisorderedStructure, UnparsableStructure, UnsupportedElement
from app.structures.elements import ATOMIC_NUMBERS, HYDROGEN_ISOTOPES, MAX_ATOMIC_NUMBER

_TYPE = re.compile(r"([A-Za-z]+)[0-9.]*(?:[+-][0-9.]*|\([^)]*\))?")
_MIXTURE = re.compile(r"[\s0-9.()]*[A-Z][a-z]?[0-9.]*[+-]?(?:\s*[+,/][\s0-9.()]*[A-Z][a-z]?[0-9.]*[+-]?)+")
"""No two parts of it that follow each other match the same characters: a text is tried in one way only."""
_LABEL = re.compile(r"([A-Za-z])([a-z]*)([A-Z]?)")
MAX_SYMBOL = 80
"""Longer type symbols are refused, longer labels cut: what is cached and quoted in errors stays small."""


def element_of_type(symbol: str) -> tuple[int, str | None]:
    """Atomic number of a type symbol (`Fe`, `Fe3+`, `O-2`, `D`), and the isotope symbol if it is one.

    Raises DisorderedStructure for mixtures (`0.8Nb + 0.2Zr`), UnparsableStructure for groups (`NH3`), placeholders and
    unknown symbols, UnsupportedElement beyond Fm.
    """
    if len(symbol) > MAX_SYMBOL:
        raise UnparsableStructure(f"The atom type {symbol[:MAX_SYMBOL]!r}... is not an element.")
    return _element_of_type(symbol)


@lru_cache(maxsize=4096)
def _element_of_type(symbol: str) -> tuple[int, str | None]:
    found = _TYPE.fullmatch(symbol)
    element = found.group(1) if found else ""
    if element in HYDROGEN_ISOTOPES:
        return 1, element
    if not found and _MIXTURE.fullmatch(symbol):
        raise DisorderedStructure(f"The atom type {symbol!r} puts several elements on one site.", symbol=symbol)
    number = ATOMIC_NUMBERS.get(element) or ATOMIC_NUMBERS.get(element.capitalize())
    if number is None or (number > MAX_ATOMIC_NUMBER and element.isupper()):
        raise UnparsableStructure(f"The atom type {symbol!r} is not an element.", symbol=symbol)
    return _supported(number, symbol), None


def element_of_label(label: str) -> tuple[int, str | None]:
    """Atomic number of a site label (`Fe1`, `O2a`, `Ow1`, `CL1`), and the isotope symbol if it is one.

    Raises UnparsableStructure where the label names no element, or could name two (`NA1`: sodium or nitrogen).
    """
    return _element_of_label(label[:MAX_SYMBOL])


@lru_cache(maxsize=4096)
def _element_of_label(label: str) -> tuple[int, str | None]:
    found = _LABEL.match(label)
    first, tail, next_capital = found.groups() if found else ("", "", "")
    head = first.upper() + tail
    if head in HYDROGEN_ISOTOPES:
        return 1, head
    capitals = head + next_capital.lower() if not tail else ""
    if head in ATOMIC_NUMBERS and 0 < ATOMIC_NUMBERS.get(capitals, 0) <= MAX_ATOMIC_NUMBER and next_capital:
        raise UnparsableStructure(
            f"The label {label!r} may mean {head} or {capitals}; add _atom_site_type_symbol.", label=label
        )
    for candidate in (head, capitals, head[:1] if len(head) <= 2 else ""):
        if candidate in ATOMIC_NUMBERS:
            return _supported(ATOMIC_NUMBERS[candidate], label), None
    raise UnparsableStructure(f"The label {label!r} starts with no element; add _atom_site_type_symbol.", label=label)


def _supported(number: int, written: str) -> int:
    if number > MAX_ATOMIC_NUMBER:
        raise UnsupportedElement(
            f"{written} is element {number}; elements up to 100 (Fm) are supported.", element=written
        )
    return number
