"""Candidates of a generator: the same ones, in the same order, each time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from app.bulk.filtering import ElementFilter
from app.core.errors import InvalidRequest, StructureError, TooManyInputs
from app.datasets.rows import RowKind
from app.screening.generation.assignments import (
    Assignment,
    assigned,
    choices_of,
    chosen_prototypes,
    prototype_assignments,
    refuse_endless,
    replacement,
)
from app.screening.generation.charges import neutral_charges
from app.screening.generation.scaling import CellScale
from app.screening.generation.tolerance import fits
from app.screening.generator import (
    Generator,
    PrototypeGenerator,
    SolidSolutionGenerator,
    SubstitutionGenerator,
    TemplateStructure,
)
from app.screening.writing import poscar_text
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.elements import ATOMIC_NUMBERS, SYMBOLS
from app.structures.json_formats import structure_from_dict
from app.structures.reader import read_structure

_AMOUNT_DIGITS = 7


@dataclass(frozen=True, slots=True)
class Candidate:
    """`text` is a POSCAR, or a formula."""

    id: str
    text: str


def candidate_kind(generator: Generator) -> RowKind:
    return RowKind.COMPOSITION if isinstance(generator, SolidSolutionGenerator) else RowKind.POSCAR


def count_candidates(generator: Generator, elements: ElementFilter | None, limit: int) -> int:
    """How many there are, without making them.

    Raises TooManyInputs beyond `limit`, InvalidRequest for none, and what is wrong with the generator.
    """
    if isinstance(generator, SolidSolutionGenerator):
        _ends(generator)
        n = comb(generator.steps + len(generator.ends) - 1, len(generator.ends) - 1)
    else:
        n = 0
        for _ in _assignments(generator, elements):
            n += 1
            if n > limit:
                break
    if n > limit:
        raise TooManyInputs(
            f"The generator makes more than {limit:,} candidates, the most of one screening.", limit=limit
        )
    if n == 0:
        raise InvalidRequest(
            "The generator makes no candidate: no choice of elements is left by `charge_balanced`, "
            "`perovskite_fit` and `elements`."
        )
    return n


def make_candidates(generator: Generator, elements: ElementFilter | None) -> Iterator[Candidate]:
    """Raises what `count_candidates` raises, but for the counts."""
    if isinstance(generator, SolidSolutionGenerator):
        yield from _solutions(generator)
        return
    seen: dict[str, int] = {}
    for template, assignment in _assignments(generator, elements):
        crystal = template.with_elements(assignment)
        name = f"{template.name}-{_formula(crystal)}"
        seen[name] = seen.get(name, 0) + 1
        yield Candidate(name if seen[name] == 1 else f"{name}-{seen[name]}", poscar_text(crystal, name))


class _Template:
    """A structure whose elements are exchanged."""

    def __init__(self, name: str, crystal: Crystal, old: Sequence[int], charges: Sequence[int] | None) -> None:
        self.name = name
        self._crystal = crystal
        self._scale = CellScale(crystal, dict(zip(old, charges, strict=True)) if charges is not None else None)

    def with_elements(self, assignment: Assignment) -> Crystal:
        replaced, charges = replacement(assignment)
        numbers = np.array([replaced[z] for z in self._crystal.atomic_numbers.tolist()], dtype=np.int64)
        lattice = self._crystal.lattice * self._scale.factor(replaced, charges)
        return Crystal(lattice, self._crystal.fractional_coordinates, numbers)


def _assignments(
    generator: PrototypeGenerator | SubstitutionGenerator, elements: ElementFilter | None
) -> Iterator[tuple[_Template, Assignment]]:
    if isinstance(generator, PrototypeGenerator):
        chosen = chosen_prototypes(generator)
        refuse_endless(choices_of(prototype, generator) for prototype in chosen)
        for prototype in chosen:
            old, counts = list(prototype.elements.values()), [prototype.sites.count(s) for s in prototype.elements]
            charges = neutral_charges(old, counts) if prototype.is_ionic else None
            template = _Template(prototype.name, prototype.crystal, old, charges)
            for assignment in prototype_assignments(prototype, generator, elements):
                if fits(prototype, assignment, generator.perovskite_fit):
                    yield template, assignment
        return
    named = [(each.id or f"structure{place}", each) for place, each in enumerate(generator.structures, start=1)]
    crystals = [(name, _read(each, name)) for name, each in named]
    refuse_endless(_choices(name, crystal, generator) for name, crystal in crystals)
    for name, crystal in crystals:
        yield from _substitutions(name, crystal, generator, elements)


def _substitutions(
    name: str, crystal: Crystal, generator: SubstitutionGenerator, elements: ElementFilter | None
) -> Iterator[tuple[_Template, Assignment]]:
    old = [ATOMIC_NUMBERS[symbol] for symbol in crystal.element_counts]
    counts = list(crystal.element_counts.values())
    template = _Template(name, crystal, old, neutral_charges(old, counts))
    for new in assigned(_choices(name, crystal, generator), elements):
        charges = neutral_charges(new, counts)
        if charges is not None or not generator.charge_balanced:
            yield template, Assignment(tuple(old), new, charges)


def _choices(name: str, crystal: Crystal, generator: SubstitutionGenerator) -> list[list[int]]:
    """Elements that may take the place of each of the crystal's."""
    if not any(symbol in generator.substitutions for symbol in crystal.element_counts):
        raise InvalidRequest(f"None of the elements of {name} is listed in `substitutions`.")
    return [
        [ATOMIC_NUMBERS[new] for new in dict.fromkeys(generator.substitutions.get(symbol, (symbol,)))]
        for symbol in crystal.element_counts
    ]


def _read(given: TemplateStructure, name: str) -> Crystal:
    try:
        if given.structure is not None:
            return structure_from_dict(given.structure)
        text, fmt = (
            (given.cif, StructureFormat.CIF) if given.cif is not None else (given.poscar, StructureFormat.POSCAR)
        )
        return read_structure(text or "", fmt)
    except StructureError as error:
        raise InvalidRequest(f"The structure {name} cannot be substituted into: {error.detail}") from error


def _ends(generator: SolidSolutionGenerator) -> list[dict[str, float]]:
    return [parse_composition(formula).amounts for formula in generator.ends]


def _solutions(generator: SolidSolutionGenerator) -> Iterator[Candidate]:
    """The first end alone comes last, the last end alone first."""
    ends, steps = _ends(generator), generator.steps
    for bars in combinations(range(steps + len(ends) - 1), len(ends) - 1):
        edges = (-1, *bars, steps + len(ends) - 1)
        shares = [(edges[i + 1] - edges[i] - 1) / steps for i in range(len(ends))]
        amounts: dict[str, float] = {}
        for share, end in zip(shares, ends, strict=True):
            for symbol, amount in end.items():
                amounts[symbol] = amounts.get(symbol, 0.0) + share * amount
        formula = "".join(f"{symbol}{_amount(n)}" for symbol, n in amounts.items() if n > 0)
        yield Candidate(formula, formula)


def _amount(n: float) -> str:
    text = f"{n:.{_AMOUNT_DIGITS}g}"
    if "e" in text:
        text = f"{n:.{_AMOUNT_DIGITS}f}"
    return "" if text == "1" else text


def _formula(crystal: Crystal) -> str:
    """Elements as the structure has them, each with its reduced count: `SrTiO3`."""
    numbers, counts = np.unique(crystal.atomic_numbers, return_counts=True)
    order = dict.fromkeys(crystal.atomic_numbers.tolist())
    amount = dict(zip(numbers.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True))
    return "".join(f"{SYMBOLS[z]}{amount[z] if amount[z] > 1 else ''}" for z in order)
