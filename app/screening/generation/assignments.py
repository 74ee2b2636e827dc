"""Every choice of elements for the sites of structures, cheap enough to be counted before anything is made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from app.bulk.filtering import ElementFilter
from app.core.errors import InvalidRequest
from app.learning.descriptors.element_table import element_table
from app.screening.generation.charges import neutral_charges
from app.screening.generation.prototypes import Prototype, prototypes
from app.screening.generator import PrototypeGenerator
from app.structures.elements import ATOMIC_NUMBERS, SYMBOLS

MAX_TRIED = 5_000_000
ANION = "X"

_HEAVIEST = 83
_LEFT_OUT = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm", "B", "C"})
"""Without compounds, radioactive, or too small as a cation for the sites of these structure types."""
_ANIONS = frozenset({"H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"})
_NO_METALS = frozenset({"H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Se", "Br", "I"})


@dataclass(frozen=True, slots=True)
class Assignment:
    """Elements of the sites of a structure, by atomic number: `new` for `old`, with `charges` where balanced."""

    old: tuple[int, ...]
    new: tuple[int, ...]
    charges: tuple[int, ...] | None


def prototype_assignments(
    prototype: Prototype, generator: PrototypeGenerator, elements: ElementFilter | None
) -> Iterator[Assignment]:
    """In the order of the lists; no element on two sites."""
    sites = tuple(prototype.elements)
    choices = choices_of(prototype, generator)
    counts = [prototype.sites.count(site) for site in sites]
    anions = frozenset(place for place, site in enumerate(sites) if site == ANION)
    alike = [sites.index(site) for site in prototype.alike]
    is_balanced = prototype.is_ionic and generator.charge_balanced
    for new in assigned(choices, elements):
        if alike and _is_repeat(new, alike, choices):
            continue
        charges = neutral_charges(new, counts, anions) if prototype.is_ionic else None
        if charges is not None or not is_balanced:
            yield Assignment(tuple(prototype.elements.values()), new, charges)


def choices_of(prototype: Prototype, generator: PrototypeGenerator) -> list[list[int]]:
    """Elements for each site, in the order of their letters."""
    return [_choices(prototype, site, generator) for site in prototype.elements]


def refuse_endless(choices: Iterable[Sequence[Sequence[int]]]) -> None:
    """Raise InvalidRequest where all structures together have too many choices of elements to try."""
    if (n := sum(prod(map(len, each)) for each in choices)) > MAX_TRIED:
        raise InvalidRequest(
            f"The generator would try {n:,} choices of elements; {MAX_TRIED:,} are the most. Name fewer elements."
        )


def assigned(choices: Sequence[Sequence[int]], elements: ElementFilter | None) -> Iterator[tuple[int, ...]]:
    """Different elements for each place, those that the filter lets through."""
    for new in product(*choices):
        if len(set(new)) == len(new) and (
            elements is None or elements.reason_against({SYMBOLS[z] for z in new}) is None
        ):
            yield new


def _is_repeat(new: tuple[int, ...], alike: Sequence[int], choices: Sequence[Sequence[int]]) -> bool:
    """Whether the same structure comes with the elements of two alike sites exchanged."""
    first, second = alike
    can_be_exchanged = new[first] in choices[second] and new[second] in choices[first]
    return can_be_exchanged and new[first] > new[second]


def _choices(prototype: Prototype, site: str, generator: PrototypeGenerator) -> list[int]:
    if site in generator.sites:
        symbols: Sequence[str] = generator.sites[site]
    elif generator.elements is not None:
        symbols = generator.elements
    else:
        symbols = _default(prototype, site)
    return [ATOMIC_NUMBERS[symbol] for symbol in dict.fromkeys(symbols)]


def _default(prototype: Prototype, site: str) -> list[str]:
    states = element_table().oxidation_states
    stable = [symbol for symbol in SYMBOLS[1 : _HEAVIEST + 1] if symbol not in _LEFT_OUT]
    stable = [symbol for symbol in stable if any(states[ATOMIC_NUMBERS[symbol]])]
    if not prototype.is_ionic:
        return [symbol for symbol in stable if symbol not in _NO_METALS]
    return [symbol for symbol in stable if (symbol in _ANIONS) == (site == ANION)]


def chosen_prototypes(generator: PrototypeGenerator) -> list[Prototype]:
    """Raises InvalidRequest for a site that none of them has."""
    found = [prototypes()[name] for name in dict.fromkeys(generator.prototypes)]
    known = {site for prototype in found for site in prototype.sites}
    if unknown := sorted(generator.sites.keys() - known):
        raise InvalidRequest(
            f"No prototype that was asked for has a site {', '.join(unknown)}; they have {', '.join(sorted(known))}."
        )
    return found


def replacement(assignment: Assignment) -> tuple[Mapping[int, int], Mapping[int, int] | None]:
    """New by old element, and the charge of each new one."""
    charges = assignment.charges
    return (
        dict(zip(assignment.old, assignment.new, strict=True)),
        dict(zip(assignment.new, charges, strict=True)) if charges is not None else None,
    )
