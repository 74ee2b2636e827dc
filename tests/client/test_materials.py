"""What is recognised as a structure or composition, and as what it is sent."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ase.build import bulk
from pymatgen.core import Composition, Lattice, Structure

from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from app.structures.json_formats import structure_from_dict
from xtalforge_client import UnusableInput
from xtalforge_client.materials import named_inputs
from xtalforge_client.models import PredictionInput

NACL = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
OPTIMADE = {
    "id": "mp-1", "type": "structures",
    "attributes": {
        "lattice_vectors": [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]], "nperiodic_dimensions": 3,
        "cartesian_site_positions": [[0, 0, 0], [2.0, 2.0, 2.0]], "species_at_sites": ["Cs", "Cl"],
        "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in ("Cs", "Cl")],
        "structure_features": [], "_mp_everything": ["x"] * 1000,
    },
}  # fmt: skip


def formula_of(content: Any) -> str:
    """As the service reads it."""
    return structure_from_dict(json.loads(json.dumps(content["structure"]))).reduced_formula


def test_texts_and_compositions() -> None:
    found = named_inputs(["SrTiO3", NACL_CIF, DIAMOND_POSCAR, Composition("Li0.5CoO2"), {"id": 7, "cif": "data_x"}])
    assert [each.name for each in found] == ["0", "1", "2", "3", "7"]
    assert [list(each.content) for each in found] == [["composition"], ["cif"], ["poscar"], ["composition"], ["cif"]]
    assert found[3].content["composition"] == "Li0.5Co1O2"
    assert named_inputs("NaCl")[0].content == {"composition": "NaCl"}
    assert named_inputs(PredictionInput(id="a", composition="NaCl"))[0].name == "a"


@pytest.mark.parametrize(
    ("material", "formula"),
    [
        (NACL, "ClNa"),
        (NACL.as_dict(), "ClNa"),
        (bulk("NaCl", "rocksalt", a=5.64), "ClNa"),
        (bulk("Cu").todict(), "Cu"),
        (OPTIMADE, "ClCs"),
        (OPTIMADE["attributes"], "ClCs"),
    ],
    ids=["pymatgen", "pymatgen dict", "ase", "ase dict", "optimade entry", "optimade attributes"],
)
def test_objects_are_read_by_the_service(material: Any, formula: str) -> None:
    (found,) = named_inputs(material)
    assert formula_of(found.content) == formula


def test_an_optimade_response_is_all_its_entries() -> None:
    response = {"data": [OPTIMADE, {**OPTIMADE, "id": "mp-2"}], "meta": {}, "links": {"next": None}}
    found = named_inputs(response)
    assert [each.name for each in found] == ["mp-1", "mp-2"]
    assert "_mp_everything" not in found[0].content["structure"]
    assert [each.name for each in named_inputs({"data": OPTIMADE})] == ["mp-1"]


def test_files(tmp_path: Path) -> None:
    cif, poscar, several = tmp_path / "NaCl.cif", tmp_path / "POSCAR", tmp_path / "entries.json"
    cif.write_text(NACL_CIF)
    poscar.write_text(DIAMOND_POSCAR)
    several.write_text(json.dumps({"data": [OPTIMADE]}))
    found = named_inputs([cif, poscar, several])
    assert [each.name for each in found] == ["NaCl.cif", "POSCAR", "mp-1"]
    assert [list(each.content) for each in found] == [["cif"], ["poscar"], ["structure"]]


def test_site_properties_do_not_travel() -> None:
    structure = NACL.copy(site_properties={"magmom": [object()] * len(NACL)})
    (found,) = named_inputs(structure)
    assert "magmom" not in json.dumps(found.content)


def test_partial_occupancies_are_never_lost() -> None:
    """pymatgen's travel to the service, which refuses them; atoms of ASE hide them, so that they are refused here."""
    disordered = Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (found,) = named_inputs(disordered)
    assert found.content["structure"]["sites"][0]["species"][0]["occu"] == 0.5
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.info["occupancy"] = {"0": {"Na": 0.5, "K": 0.5}, "1": {"Cl": 1.0}}
    with pytest.raises(UnusableInput, match=r"Input 0: .*partly occupied"):
        named_inputs(atoms)


@pytest.mark.parametrize(
    ("material", "why"),
    [
        (3.5, "a float is neither|A float is neither"),
        ("NaCl.cif", "looks like a file"),
        ({"formula": "NaCl"}, "a dict with formula"),
        ([], "no inputs"),
        (pd.DataFrame({"formula": ["NaCl"]}), "predict_frame"),
        (Path("many.zip"), "predict_files"),
    ],
)
def test_what_is_no_material(material: Any, why: str) -> None:
    with pytest.raises(UnusableInput, match=why):
        named_inputs(material)
