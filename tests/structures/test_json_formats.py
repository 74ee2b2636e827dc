"""pymatgen, ASE and OPTIMADE objects, and their refusals."""

import json
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io.jsonio import encode
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Molecule, Structure

from app.core.errors import DisorderedStructure, MissingCell, NoAtoms, StructureError, UnparsableStructure
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure, read_structures, structure_from_dict

OPTIMADE: dict[str, Any] = {
    "nperiodic_dimensions": 3,
    "dimension_types": [1, 1, 1],
    "lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
    "cartesian_site_positions": [[0, 0, 0], [2, 2, 2]],
    "species": [
        {"name": "Cs", "chemical_symbols": ["Cs"], "concentration": [1.0]},
        {"name": "chloride", "chemical_symbols": ["Cl"], "concentration": [1.0]},
    ],
    "species_at_sites": ["Cs", "chloride"],
}


def test_pymatgen_structure() -> None:
    structure = Structure(Lattice.from_parameters(4, 5, 6, 80, 90, 100), ["Cs+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.4]])
    crystal = structure_from_dict(structure.as_dict())
    assert crystal.atomic_numbers.tolist() == [55, 17]
    assert np.allclose(crystal.lattice, structure.lattice.matrix)
    assert np.allclose(crystal.fractional_coordinates, structure.frac_coords)
    without_matrix = structure.as_dict()
    del without_matrix["lattice"]["matrix"]
    assert structure_from_dict(without_matrix).volume == pytest.approx(structure.volume)


def test_ase_atoms_in_all_encodings() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    plain = {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": [True, True, True],
    }
    for data in (plain, json.loads(encode(atoms)), json.loads(encode(atoms.todict()))):
        crystal = structure_from_dict(data)
        assert crystal.element_counts == {"Cl": 1, "Na": 1}
        assert crystal.volume == pytest.approx(atoms.get_volume())


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: {"attributes": a}, lambda a: {"data": {"attributes": a}}])
def test_optimade_resource(wrap: Any) -> None:
    crystal = structure_from_dict(wrap(OPTIMADE))
    assert crystal.element_counts == {"Cl": 1, "Cs": 1}
    assert np.allclose(crystal.fractional_coordinates[1], 0.5)


def test_optimade_answer_is_several_inputs() -> None:
    text = json.dumps({"data": [{"id": "a", "attributes": OPTIMADE}, {"id": "b", "attributes": {}}]})
    results = read_structures(text)
    assert [result.block_name for result in results] == ["a", "b"]
    assert results[0].crystal is not None
    assert isinstance(results[1].error, UnparsableStructure)


def with_species(symbols: list[str], concentration: list[float]) -> dict[str, Any]:
    species = [
        OPTIMADE["species"][0],
        {"name": "chloride", "chemical_symbols": symbols, "concentration": concentration},
    ]
    return OPTIMADE | {"species": species}


def pymatgen_dict(species: list[dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = Structure(Lattice.cubic(4), ["Cs"], [[0, 0, 0]]).as_dict()
    data["sites"][0]["species"] = species
    return data


@pytest.mark.parametrize(
    ("data", "error", "reason"),
    [
        (with_species(["Cl", "Br"], [0.5, 0.5]), DisorderedStructure, "Br 0.5"),
        (with_species(["Cl", "vacancy"], [0.9, 0.1]), DisorderedStructure, "vacancy"),
        (with_species(["X"], [1.0]), UnparsableStructure, "'X'"),
        (with_species(["Cl"], []), UnparsableStructure, "concentration"),
        (OPTIMADE | {"nperiodic_dimensions": 2}, MissingCell, "2 dimensions"),
        (OPTIMADE | {"dimension_types": [1, 1, 0]}, MissingCell, "periodic"),
        (OPTIMADE | {"lattice_vectors": None}, MissingCell, "lattice_vectors"),
        (OPTIMADE | {"species_at_sites": ["Cs", "other"]}, UnparsableStructure, "other"),
        (OPTIMADE | {"species_at_sites": []}, NoAtoms, "no atoms"),
        (OPTIMADE | {"cartesian_site_positions": [[0, 0, 0]]}, UnparsableStructure, "2 x 3"),
        (OPTIMADE | {"cartesian_site_positions": [[0, 0, None], [2, 2, 2]]}, StructureError, "not a number"),
        (OPTIMADE | {"cartesian_site_positions": [[0, 0, np.inf], [2, 2, 2]]}, StructureError, "not a number"),
        (pymatgen_dict([{"element": "Cs", "occu": 0.5}]), DisorderedStructure, "Cs 0.5"),
        (pymatgen_dict([{"element": "Cs", "occu": 0.5}, {"element": "K", "occu": 0.5}]), DisorderedStructure, "K 0.5"),
        (pymatgen_dict([{"element": "Cs", "occu": 10**400}]), UnparsableStructure, "too large"),
        (pymatgen_dict([]), DisorderedStructure, "Cs"),
        (Molecule(["O"], [[0, 0, 0]]).as_dict(), MissingCell, "molecule"),
        ({"lattice": {"matrix": "x"}, "sites": [{}]}, UnparsableStructure, "lattice"),
        ({"lattice": {}, "sites": [1]}, StructureError, "not a finite|must be|positive"),
        ({"numbers": [11.5], "positions": [[0, 0, 0]], "cell": [3, 3, 3]}, UnparsableStructure, "whole"),
        ({"numbers": [0], "positions": [[0, 0, 0]], "cell": [3, 3, 3]}, StructureError, "Element 0"),
        ({"numbers": [101], "positions": [[0, 0, 0]], "cell": [3, 3, 3]}, StructureError, "Md"),
        ({"numbers": [11], "positions": [[0, 0, 0]], "cell": [[0] * 3] * 3}, StructureError, "Å³"),
        ({"numbers": [11], "positions": [[0, 0, 0]]}, MissingCell, "no cell"),
        ({"numbers": {"__ndarray__": [[9], "int64", [1]]}, "positions": []}, UnparsableStructure, "shape"),
        ({"numbers": {"__ndarray__": [[10**15, 0], "int64", []]}, "positions": []}, NoAtoms, "no atoms"),
        ({}, UnparsableStructure, "neither"),
        ([], UnparsableStructure, "object"),
        (None, UnparsableStructure, "object"),
    ],
)
def test_reasoned_errors(data: Any, error: type[StructureError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        structure_from_dict(data)


def test_ase_molecule_has_no_cell() -> None:
    for atoms in (molecule("H2O"), Atoms("Si", cell=[5, 5, 5], pbc=[True, True, False])):
        with pytest.raises(MissingCell):
            structure_from_dict(json.loads(encode(atoms)))


@pytest.mark.parametrize("text", ["{", "[1, 2", "[" * 100_000, '{"a":' * 100_000, "[]", "[1]", '{"data": [null]}', "3"])
def test_json_that_is_no_structure(text: str) -> None:
    with pytest.raises(UnparsableStructure):
        read_structure(text, StructureFormat.JSON)
