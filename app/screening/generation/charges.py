"""Oxidation states that make a compound neutral, one state for each element."""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product

from app.learning.descriptors.element_table import element_table


def neutral_charges(
    atomic_numbers: Sequence[int], counts: Sequence[int], anions: frozenset[int] | None = None
) -> tuple[int, ...] | None:
    """A charge of each element that together cancel, or None.

    Charges are common oxidation states other than 0. Every anion is more electronegative (Pauling) than every cation.
    `anions` are the places of the elements that must be negative, all others being positive; None: any may be either.
    """
    signs = [0] * len(counts) if anions is None else [-1 if p in anions else 1 for p in range(len(counts))]
    found = _neutral(tuple(map(_states, atomic_numbers, signs)), tuple(counts))
    if not found:
        return None
    chi = [element_table().electronegativity[z] for z in atomic_numbers]
    for charges in found:
        highest_cation = max((x for x, charge in zip(chi, charges, strict=True) if charge > 0), default=0.0)
        lowest_anion = min((x for x, charge in zip(chi, charges, strict=True) if charge < 0), default=0.0)
        if highest_cation < lowest_anion:
            return charges
    return None


@cache
def _states(z: int, sign: int) -> tuple[int, ...]:
    """Oxidation states of an element that have the sign; all but 0 for 0."""
    return tuple(state for state in element_table().oxidation_states[z] if state and state * sign >= 0)


@lru_cache(maxsize=100_000)
def _neutral(states: tuple[tuple[int, ...], ...], counts: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Of elements that have the same states the answer is the same; there are few different ones."""
    return tuple(
        charges
        for charges in product(*states)
        if sum(n * charge for n, charge in zip(counts, charges, strict=True)) == 0
    )
