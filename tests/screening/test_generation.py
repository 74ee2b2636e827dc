"""Candidates that are made: the right structure types, neutral, in cells of the right size."""

import warnings
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from app.bulk.filtering import ElementFilter
from app.core.errors import InvalidRequest, TooManyInputs, XtalforgeError
from app.screening.generation.assignments import prototype_assignments
from app.screening.generation.candidates import Candidate, count_candidates, make_candidates
from app.screening.generation.prototypes import Prototype, prototypes
from app.screening.generation.tolerance import Factors, perovskite_factors
from app.screening.generator import Generator, PrototypeGenerator, PrototypeName
from app.screening.writing import cif_text
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.elements import SYMBOLS
from app.structures.reader import read_structure
from tests.crystals import rocksalt

SPACE_GROUPS = {
    "rocksalt": 225, "cesium_chloride": 221, "zincblende": 216, "wurtzite": 186, "nickel_arsenide": 194,
    "fluorite": 225, "antifluorite": 225, "rutile": 136, "perovskite": 221, "double_perovskite": 225, "spinel": 227,
    "alpha_nafeo2": 166, "chalcopyrite": 122, "half_heusler": 216, "full_heusler": 225, "b2": 221, "l12": 221,
}  # fmt: skip


def generator(kind: str, **fields: Any) -> Generator:
    adapter: TypeAdapter[Generator] = TypeAdapter(Generator)
    return adapter.validate_python({"kind": kind, **fields})


def made(found: Generator, elements: ElementFilter | None = None) -> list[Candidate]:
    candidates = list(make_candidates(found, elements))
    assert len({candidate.id for candidate in candidates}) == len(candidates)
    return candidates


def crystal_of(candidate: Candidate) -> Crystal:
    return read_structure(candidate.text, StructureFormat.POSCAR)


def as_pymatgen(crystal: Crystal) -> Structure:
    symbols = [SYMBOLS[z] for z in crystal.atomic_numbers.tolist()]
    return Structure(crystal.lattice, symbols, crystal.fractional_coordinates)


@pytest.mark.parametrize("prototype", prototypes().values(), ids=list(prototypes()))
def test_prototypes_have_their_space_group_in_a_primitive_cell(prototype: Prototype) -> None:
    structure = as_pymatgen(prototype.crystal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        analyzer = SpacegroupAnalyzer(structure)
        assert analyzer.get_space_group_number() == SPACE_GROUPS[prototype.name]
        assert len(analyzer.find_primitive()) == len(structure)


def test_every_prototype_has_candidates_whose_atoms_keep_apart() -> None:
    assert set(prototypes()) == set(PrototypeName)
    elements = ["Li", "Na", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "Ti", "Zr", "W", "Ni", "Ag", "Sn", "Zn", "Cs"]
    sites = {"X": ["O", "S", "F", "Cl"]}
    candidates = made(generator("prototypes", elements=elements, sites=sites))
    names = {candidate.id.split("-")[0] for candidate in candidates}
    assert names == set(PrototypeName)
    for candidate in candidates[::37]:
        structure = as_pymatgen(crystal_of(candidate))
        distances = structure.distance_matrix[~np.eye(len(structure), dtype=bool)]
        assert distances.min() > 1.4, candidate.id


def _factors(elements: str) -> Factors | None:
    """Of a perovskite with these elements on its sites, in the order of their letters."""
    sites = dict(zip("ABX" if elements.count(" ") == 2 else "ABCX", ([each] for each in elements.split()), strict=True))
    name = PrototypeName.PEROVSKITE if len(sites) == 3 else PrototypeName.DOUBLE_PEROVSKITE
    made_of = PrototypeGenerator(kind="prototypes", prototypes=(name,), sites=sites)
    (assignment,) = prototype_assignments(prototypes()[name], made_of, None)
    return perovskite_factors(prototypes()[name], assignment)


@pytest.mark.parametrize(
    ("elements", "tolerance", "octahedral"),
    [  # from Shannon's radii (1976) by hand
        ("Sr Ti O", (1.44 + 1.40) / (2**0.5 * (0.605 + 1.40)), 0.605 / 1.40),
        ("Cs Pb I", (1.88 + 2.20) / (2**0.5 * (1.19 + 2.20)), 1.19 / 2.20),
        ("Ba Mg W O", (1.61 + 1.40) / (2**0.5 * (0.66 + 1.40)), 0.66 / 1.40),
    ],
)
def test_goldschmidt(elements: str, tolerance: float, octahedral: float) -> None:
    found = _factors(elements)
    assert found is not None
    assert (found.tolerance, found.octahedral) == (pytest.approx(tolerance, abs=2e-3), pytest.approx(octahedral))


def test_ions_that_fit_into_a_perovskite() -> None:
    sites = {"A": ["Li", "Ca", "Sr", "Ba", "Cs"], "B": ["Ti", "Pb", "Ge"], "X": ["O", "I"]}
    fields = {"prototypes": ["perovskite", "rocksalt"], "sites": sites}

    def names(**fit: Any) -> set[str]:
        return {candidate.id for candidate in made(generator("prototypes", **fields, **fit))}

    everything, fitting = names(), names(perovskite_fit={})
    assert fitting < everything and not any("rocksalt" in name for name in everything - fitting)
    assert {"perovskite-SrTiO3", "perovskite-BaTiO3", "perovskite-CsPbI3"} <= fitting
    assert "perovskite-LiPbI3" in everything - fitting
    assert "perovskite-BaTiO3" not in names(perovskite_fit={"tolerance": [0.8, 1.05]})
    assert "perovskite-SrTiO3" not in names(perovskite_fit={"octahedral": [0.5, 0.9]})
    with pytest.raises(ValueError, match="the lowest and then the highest"):
        generator("prototypes", perovskite_fit={"tolerance": [1.1, 0.8]})


def test_perovskites_are_neutral_and_about_as_large_as_measured() -> None:
    found = generator(
        "prototypes", prototypes=["perovskite"],
        sites={"A": ["Na", "Sr", "Ba", "La"], "B": ["Ti", "Al", "Zr"], "X": ["O", "F"]},
    )  # fmt: skip
    candidates = {candidate.id.removeprefix("perovskite-"): candidate for candidate in made(found)}
    assert set(candidates) == {"SrTiO3", "BaTiO3", "SrZrO3", "BaZrO3", "LaAlO3"} | {"LaTiO3"} & set(candidates)
    assert count_candidates(found, None, 100) == len(candidates)
    measured = {"SrTiO3": 3.905, "BaTiO3": 4.00, "BaZrO3": 4.19, "LaAlO3": 3.79}
    for formula, edge in measured.items():
        crystal = crystal_of(candidates[formula])
        assert crystal.volume ** (1 / 3) == pytest.approx(edge, rel=0.03)
        assert candidates[formula].id == f"perovskite-{formula}"


def test_alike_sites_give_each_structure_once_and_no_element_is_on_two_sites() -> None:
    heuslers = generator("prototypes", prototypes=["half_heusler"], elements=["Ti", "Ni", "Sn"])
    ids = [candidate.id for candidate in made(heuslers)]
    assert len(ids) == 3
    named = generator("prototypes", prototypes=["half_heusler"], sites={"A": ["Ti"], "B": ["Ni"], "C": ["Sn"]})
    assert len(made(named)) == 1


def test_filters_hold_and_the_same_request_makes_the_same_candidates() -> None:
    found = generator("prototypes", prototypes=["rocksalt", "fluorite"], sites={"X": ["O", "S", "F"]})
    elements = ElementFilter(none_of=("Pb", "Cd"), any_of=("O", "F"))
    candidates = made(found, elements)
    assert candidates == made(found, elements)
    symbols = [set(crystal_of(candidate).element_counts) for candidate in candidates]
    assert all(not each & {"Pb", "Cd", "S"} for each in symbols)
    assert 20 < len(candidates) == count_candidates(found, elements, 10_000) < count_candidates(found, None, 10_000)


def test_substitutions_scale_the_cell_with_the_radii() -> None:
    salt = rocksalt(5.64, "Na", "Cl")
    found = generator(
        "substitutions", structures=[{"id": "salt", "cif": cif_text(salt, "salt")}],
        substitutions={"Na": ["Na", "K", "Mg"], "Cl": ["Cl", "F"]},
    )  # fmt: skip
    crystals = {candidate.id: crystal_of(candidate) for candidate in made(found)}
    assert set(crystals) == {"salt-NaCl", "salt-KCl", "salt-NaF", "salt-KF"}
    edges = {name: (4 * crystal.volume / (crystal.n_sites / 2)) ** (1 / 3) for name, crystal in crystals.items()}
    assert edges["salt-NaCl"] == pytest.approx(5.64, abs=1e-6)
    assert edges["salt-KCl"] == pytest.approx(6.29, rel=0.02) and edges["salt-NaF"] == pytest.approx(4.63, rel=0.03)
    free = generator(
        "substitutions", structures=[{"cif": cif_text(salt, "x")}], substitutions={"Na": ["Mg"]}, charge_balanced=False
    )
    assert [candidate.id for candidate in made(free)] == ["structure1-MgCl"]


def test_solid_solutions_go_from_end_to_end() -> None:
    found = generator("solid_solution", ends=["BaTiO3", "SrTiO3"], steps=4)
    formulas = [candidate.text for candidate in made(found)]
    assert count_candidates(found, None, 10) == len(formulas) == 5
    assert formulas[0] == "TiO3Sr" and formulas[-1] == "BaTiO3"
    assert parse_composition(formulas[1]).amounts == {"Ba": 0.25, "Ti": 1, "O": 3, "Sr": 0.75}
    ternary = generator("solid_solution", ends=["LiCoO2", "LiNiO2", "LiMnO2"], steps=10)
    assert count_candidates(ternary, None, 100) == len(made(ternary)) == 66
    thirds = generator("solid_solution", ends=["NaCl", "KCl"], steps=3)
    assert all(parse_composition(candidate.text) for candidate in made(thirds))


@pytest.mark.parametrize(
    ("kind", "fields", "error", "words"),
    [
        ("prototypes", {"prototypes": ["rocksalt"], "sites": {"A": ["O"]}}, InvalidRequest, "no candidate"),
        ("prototypes", {"prototypes": ["rocksalt"], "sites": {"B": ["Na"]}}, InvalidRequest, "site B"),
        ("prototypes", {"prototypes": ["perovskite"]}, TooManyInputs, "more than 50"),
        (
            "substitutions",
            {"structures": [{"cif": "nonsense"}], "substitutions": {"Na": ["K"]}},
            InvalidRequest,
            "structure1 cannot",
        ),
        (
            "substitutions",
            {"structures": [{"cif": cif_text(rocksalt(5.6, "Na", "Cl"), "x")}], "substitutions": {"Mg": ["K"]}},
            InvalidRequest,
            "None of the elements",
        ),
        (
            "prototypes",
            {"prototypes": ["double_perovskite", "spinel"], "elements": list(SYMBOLS[1:84])},
            InvalidRequest,
            "Name fewer elements",
        ),
        ("solid_solution", {"ends": ["NaCl", "Xy"], "steps": 4}, XtalforgeError, "Xy"),
        ("solid_solution", {"ends": ["NaCl", "KCl"], "steps": 99}, TooManyInputs, "50"),
    ],
)
def test_generators_that_cannot_be_used_say_why(
    kind: str, fields: dict[str, Any], error: type[XtalforgeError], words: str
) -> None:
    with pytest.raises(error) as raised:
        count_candidates(generator(kind, **fields), None, 50)
    assert words in raised.value.detail


def test_text_of_a_crystal_is_read_back() -> None:
    for prototype in prototypes().values():
        read = read_structure(cif_text(prototype.crystal, "a b\nc"), StructureFormat.CIF)
        assert read.volume == pytest.approx(prototype.crystal.volume, rel=1e-6)
        assert read.reduced_formula == prototype.crystal.reduced_formula
        assert as_pymatgen(read).matches(as_pymatgen(prototype.crystal))
