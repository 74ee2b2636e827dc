"""Anything that is a structure or a composition -> inputs of the API. No optional package is imported for it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtalforge_client.errors import UnusableInput
from xtalforge_client.models import PredictionInput

Material = Any
"""A formula, CIF or POSCAR text, a `pathlib.Path` of a structure file, a pymatgen Structure or Composition, ASE Atoms,
the dict of any of these, an OPTIMADE structures entry or response, or a `PredictionInput`."""

_CONTENT = frozenset({"cif", "poscar", "structure", "composition"})
_DATA_BLOCK = re.compile(r"^[^\S\n]*data_", flags=re.MULTILINE | re.IGNORECASE)
_FILE_SUFFIX = re.compile(r"\.(cif|vasp|poscar|json|zip|xyz)$", flags=re.IGNORECASE)
_FULL = 0.998
_SITE_FIELDS = ("species", "abc", "xyz", "label")
_ASE_FIELDS = ("numbers", "positions", "cell", "pbc")


@dataclass(frozen=True)
class NamedInput:
    """One input and the name that the caller knows it by; the content as the API takes it."""

    name: str
    content: Mapping[str, Any]


def named_inputs(materials: Material | Iterable[Material]) -> list[NamedInput]:
    """All inputs, in order. What has no name of its own is called by its place, from 0.

    Raises UnusableInput, naming the place, for what is neither a structure nor a composition.
    """
    found: list[NamedInput] = []
    for place, material in enumerate(_as_sequence(materials)):
        try:
            contents = list(contents_of(material))
        except UnusableInput as error:
            raise UnusableInput(f"Input {place}: {error}") from None
        found += [NamedInput(name or str(len(found) + i), content) for i, (name, content) in enumerate(contents)]
    if not found:
        raise UnusableInput("There are no inputs.")
    return found


def _as_sequence(materials: Material | Iterable[Material]) -> Sequence[Material]:
    is_one = isinstance(materials, str | Path | Mapping | PredictionInput) or hasattr(materials, "as_dict")
    if is_one or _is_atoms(materials):
        return [materials]
    if hasattr(materials, "columns"):
        raise UnusableInput("a table holds more than materials: give predict_frame the table, or one of its columns.")
    if isinstance(materials, Iterable):
        return list(materials)
    raise UnusableInput(f"A {type(materials).__name__} is neither a structure nor a composition.")


def contents_of(material: Material) -> Iterable[tuple[str | None, dict[str, Any]]]:
    """(name or None, content) of each input in a material; OPTIMADE responses and JSON files may hold several."""
    if isinstance(material, PredictionInput):
        return [(material.id, material.model_dump(exclude_none=True, exclude={"id"}))]
    if isinstance(material, Path):
        return _of_file(material)
    if isinstance(material, str):
        return [(None, _of_text(material))]
    # Before mappings: a Composition is one.
    if hasattr(material, "get_el_amt_dict"):
        return [(None, {"composition": _formula(material.get_el_amt_dict())})]
    if isinstance(material, Mapping):
        return _of_mapping(material)
    if _is_atoms(material):
        return [(None, {"structure": _of_atoms(material)})]
    if hasattr(material, "as_dict"):
        return [(None, {"structure": _of_pymatgen(material.as_dict())})]
    raise UnusableInput(f"a {type(material).__name__} is neither a structure nor a composition.")


def _of_text(text: str) -> dict[str, Any]:
    if "\n" not in text.strip():
        if _FILE_SUFFIX.search(text):
            raise UnusableInput(f"{text!r} looks like a file: give pathlib.Path({text!r}).")
        return {"composition": text}
    return {"cif": text} if _DATA_BLOCK.search(text) else {"poscar": text}


def _of_file(path: Path) -> list[tuple[str | None, dict[str, Any]]]:
    if path.suffix.lower() == ".zip":
        raise UnusableInput(f"{path} is a zip: send it with predict_files.")
    text = path.read_text(errors="replace")
    if path.suffix.lower() != ".json":
        return [(path.name, _of_text(text if "\n" in text.strip() else text + "\n\n"))]
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UnusableInput(f"{path} is no JSON: {error}.") from None
    objects = document if isinstance(document, list) else [document]
    return [(name or path.name, content) for each in objects for name, content in contents_of(each)]


def _of_mapping(material: Mapping[str, Any]) -> list[tuple[str | None, dict[str, Any]]]:
    data = material.get("data")
    if isinstance(data, list):
        return [pair for entry in data for pair in _of_mapping(entry)]
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if material.keys() - {"id"} <= _CONTENT and len(material.keys() & _CONTENT) == 1:
        name = material.get("id")
        return [(None if name is None else str(name), {key: material[key] for key in material.keys() & _CONTENT})]
    attributes = material.get("attributes", material)
    if isinstance(attributes, Mapping) and "species_at_sites" in attributes:
        # Fields of one database ("_mp_...") say nothing about the structure and can be large.
        standard = {key: value for key, value in attributes.items() if not key.startswith("_")}
        return [(str(material["id"]) if "id" in material else None, {"structure": standard})]
    if "sites" in material:
        return [(None, {"structure": _of_pymatgen(material)})]
    if material.keys() >= {"numbers", "positions"}:
        return [(None, {"structure": {key: _plain(material[key]) for key in _ASE_FIELDS if key in material}})]
    raise UnusableInput(
        f"a dict with {', '.join(map(str, list(material)[:6])) or 'nothing'} is no structure of pymatgen, ASE or "
        "OPTIMADE, and not one of {'cif': ...}, {'poscar': ...}, {'structure': ...}, {'composition': ...}."
    )


def _is_atoms(material: object) -> bool:
    return hasattr(material, "get_atomic_numbers") and hasattr(material, "get_cell")


def _of_atoms(atoms: Any) -> dict[str, Any]:
    """Raises UnusableInput for partial occupancy, of which the atoms themselves show the main species only."""
    occupancy = (atoms.info or {}).get("occupancy") or {}
    if any(len(site) > 1 or min(site.values()) < _FULL for site in occupancy.values()):
        raise UnusableInput("the atoms have partly occupied sites (atoms.info['occupancy']): make an ordered cell.")
    return {
        "numbers": atoms.get_atomic_numbers().tolist(),
        "positions": atoms.get_positions().tolist(),
        "cell": [list(map(float, vector)) for vector in atoms.get_cell()],
        "pbc": [bool(periodic) for periodic in atoms.get_pbc()],
    }


def _of_pymatgen(structure: Mapping[str, Any]) -> dict[str, Any]:
    """Lattice and sites alone: site properties may be anything, and no model reads them."""
    kept = [{key: site[key] for key in _SITE_FIELDS if key in site} for site in structure["sites"]]
    lattice = structure.get("lattice")
    return {"sites": kept} if lattice is None else {"lattice": dict(lattice), "sites": kept}


def _formula(amounts: Mapping[str, float]) -> str:
    return "".join(f"{element}{f'{amount:.8f}'.rstrip('0').rstrip('.')}" for element, amount in amounts.items())


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
