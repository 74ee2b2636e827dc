"""JSON objects -> crystals: pymatgen structures, ASE atoms, OPTIMADE structure resources."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.core.errors import (
    DisorderedStructure,
    MissingCell,
    NoAtoms,
    UnparsableStructure,
)
from app.structures.crystal import Crystal, FloatArray, IntArray
from app.structures.elements import isotope_note
from app.structures.geometry import lattice_from_parameters
from app.structures.limits import DEFAULT_LIMITS, StructureLimits
from app.structures.species import element_of_type
from app.structures.validation import check_lattice, check_site_count, make_crystal

FULL_OCCUPANCY_TOLERANCE = 0.002
_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")
_NAMED_AT_MOST = 6


def structure_from_dict(data: dict[str, Any], limits: StructureLimits = DEFAULT_LIMITS) -> Crystal:
    """A crystal from one JSON object: pymatgen `Structure.as_dict()`, ASE atoms, or an OPTIMADE resource.

    Raises the StructureError that names the cause; MissingCell for molecules and slabs that are not periodic.
    """
    if not isinstance(data, dict):
        raise UnparsableStructure("A structure must be a JSON object.")
    attributes = _optimade_attributes(data)
    if attributes is not None:
        return _read_optimade(attributes, limits)
    if "sites" in data:
        return _read_pymatgen(data, limits)
    if "numbers" in data and "positions" in data:
        return _read_ase(data, limits)
    raise UnparsableStructure(
        "The object is neither a pymatgen Structure (lattice, sites), nor ASE atoms (numbers, positions, cell), "
        "nor an OPTIMADE structure (lattice_vectors, species_at_sites)."
    )


def structures_in(data: Any) -> list[dict[str, Any]]:
    """The structure objects of a JSON document: itself, a list, an OPTIMADE answer or an ASE JSON database."""
    if isinstance(data, list):
        return data
    if not isinstance(data, dict):
        raise UnparsableStructure("A structure must be a JSON object.")
    if isinstance(data.get("data"), list):
        return list(data["data"])
    if isinstance(data.get("ids"), list) and "nextid" in data:
        return [data.get(str(key)) for key in data["ids"]]  # type: ignore[misc]
    return [data]


def _read_pymatgen(data: dict[str, Any], limits: StructureLimits) -> Crystal:
    lattice_data, sites = data.get("lattice"), data["sites"]
    if not isinstance(lattice_data, dict):
        raise MissingCell("The structure has no lattice: a molecule is not a crystal.")
    _require_periodic(lattice_data.get("pbc", True))
    _require_sites(sites, limits)
    if "matrix" in lattice_data:
        lattice = _array(lattice_data["matrix"], (3, 3), "the lattice matrix")
    else:
        a, b, c, alpha, beta, gamma = _array([lattice_data.get(key) for key in _PARAMETERS], (6,), "the lattice")
        lattice = lattice_from_parameters((a, b, c), (alpha, beta, gamma))
    if not all(isinstance(site, dict) for site in sites):
        raise UnparsableStructure("Every site must be an object with species and abc.")
    labels = [str(site.get("label") or f"{index + 1}")[:40] for index, site in enumerate(sites)]
    symbols = _only_species([_pymatgen_species(site) for site in sites], labels)
    if all("abc" in site for site in sites):
        coordinates = _array([site["abc"] for site in sites], (len(sites), 3), "the coordinates (abc)")
    else:
        positions = _array([site.get("xyz") for site in sites], (len(sites), 3), "the coordinates (abc or xyz)")
        coordinates = _fractional(positions, lattice, limits)
    return _crystal(lattice, coordinates, symbols, labels, limits)


def _pymatgen_species(site: dict[str, Any]) -> list[tuple[str, float]]:
    species = site.get("species")
    if species is None and "species_string" in site:
        return [(str(site["species_string"]), 1.0)]
    if not isinstance(species, list) or not all(isinstance(entry, dict) for entry in species):
        raise UnparsableStructure("Every site needs a list of species, e.g. [{'element': 'Fe', 'occu': 1}].")
    return [(str(entry.get("element")), _number(entry.get("occu", 1), "an occupancy")) for entry in species]


def _read_ase(data: dict[str, Any], limits: StructureLimits) -> Crystal:
    positions, numbers = _plain(data["positions"]), _plain(data["numbers"])
    _require_sites(numbers, limits)
    if data.get("cell") is None:
        raise MissingCell("The atoms have no cell.")
    _require_periodic(data.get("pbc", True))
    cell = _array(_plain(data["cell"]), None, "the cell")
    lattice = np.diag(cell) if cell.shape == (3,) else _array(cell, (3, 3), "the cell")
    atomic_numbers = _array(numbers, (len(numbers),), "the atomic numbers")
    if not np.array_equal(atomic_numbers, np.round(atomic_numbers)) or np.abs(atomic_numbers).max() > 1000:
        raise UnparsableStructure("The atomic numbers must be whole numbers.")
    coordinates = _fractional(_array(positions, (len(numbers), 3), "the positions"), lattice, limits)
    return make_crystal(lattice, coordinates, atomic_numbers.astype(np.int64), limits=limits)


def _plain(value: Any) -> Any:
    """ASE's encodings of arrays and cells as nested lists; anything else as it is."""
    if isinstance(value, dict) and "array" in value:
        value = value["array"]
    if isinstance(value, dict) and "__ndarray__" in value:
        encoded = value["__ndarray__"]
        if not (isinstance(encoded, list) and len(encoded) == 3 and isinstance(encoded[2], list)):
            raise UnparsableStructure("An __ndarray__ must be [shape, type, values].")
        shape, _, values = encoded
        try:
            array = np.array(values, dtype=np.float64)
            # Of nothing there can be any number of rows.
            return array.reshape(shape).tolist() if array.size else []
        except (ValueError, TypeError, OverflowError):
            raise UnparsableStructure("The values of an __ndarray__ do not have its shape.") from None
    return value


def _optimade_attributes(data: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes of an OPTIMADE resource, however much of the answer around them was sent."""
    inner = data.get("data")
    if isinstance(inner, list) and len(inner) == 1:
        inner = inner[0]
    for candidate in (inner, data):
        if isinstance(candidate, dict):
            attributes = candidate.get("attributes", candidate)
            if isinstance(attributes, dict) and "species_at_sites" in attributes:
                return attributes
    return None


def _read_optimade(attributes: dict[str, Any], limits: StructureLimits) -> Crystal:
    dimensions = attributes.get("nperiodic_dimensions")
    if dimensions is not None and dimensions != 3:
        raise MissingCell(f"The structure is periodic in {dimensions} dimensions; a crystal is in three.")
    _require_periodic(attributes.get("dimension_types", True))
    if attributes.get("lattice_vectors") is None:
        raise MissingCell("The OPTIMADE structure has no lattice_vectors.")
    at_sites = attributes["species_at_sites"]
    _require_sites(at_sites, limits)
    lattice = _array(attributes["lattice_vectors"], (3, 3), "lattice_vectors")
    positions = _array(attributes.get("cartesian_site_positions"), (len(at_sites), 3), "cartesian_site_positions")
    species = attributes.get("species")
    if not isinstance(species, list) or not all(isinstance(entry, dict) for entry in species):
        raise UnparsableStructure("The OPTIMADE structure has no list of species.")
    by_name = {str(entry.get("name")): _optimade_species(entry) for entry in species}
    labels = [str(name)[:40] for name in at_sites]
    unknown = [name for name in at_sites if str(name) not in by_name]
    if unknown:
        raise UnparsableStructure(f"species_at_sites names {str(unknown[0])[:40]!r}, which is not among the species.")
    symbols = _only_species([by_name[str(name)] for name in at_sites], labels)
    numbered = [f"{label} (number {index + 1})" for index, label in enumerate(labels)]
    return _crystal(lattice, _fractional(positions, lattice, limits), symbols, numbered, limits)


def _optimade_species(entry: dict[str, Any]) -> list[tuple[str, float]]:
    symbols, concentrations = entry.get("chemical_symbols"), entry.get("concentration")
    if not isinstance(symbols, list) or not isinstance(concentrations, list) or len(symbols) != len(concentrations):
        raise UnparsableStructure("Every species needs chemical_symbols and as many concentrations.")
    if entry.get("attached"):
        raise UnparsableStructure(f"Species {str(entry.get('name'))[:40]!r} has attached atoms without positions.")
    pairs = zip(symbols, concentrations, strict=True)
    return [(str(symbol), _number(amount, "a concentration")) for symbol, amount in pairs]


def _only_species(species_of_sites: Sequence[list[tuple[str, float]]], labels: Sequence[str]) -> list[str]:
    """The one symbol of every site; DisorderedStructure for sites that are shared or partly empty."""
    disordered, symbols = [], []
    for species, label in zip(species_of_sites, labels, strict=True):
        if len(species) != 1 or abs(species[0][1] - 1) > FULL_OCCUPANCY_TOLERANCE:
            mixture = ", ".join(f"{symbol} {amount:g}" for symbol, amount in species)
            disordered.append(f"{label} ({mixture[:60]})")
        else:
            symbols.append(species[0][0])
    if disordered:
        shown = "; ".join(disordered[:_NAMED_AT_MOST])
        more = f" and {len(disordered) - _NAMED_AT_MOST} more" if len(disordered) > _NAMED_AT_MOST else ""
        raise DisorderedStructure(
            f"Sites of the structure are shared or partly occupied: {shown}{more}. Predictions need one atom on every "
            "site: give an ordered model of the structure.",
            sites=disordered[:_NAMED_AT_MOST],
        )
    return symbols


def _crystal(
    lattice: FloatArray,
    coordinates: FloatArray,
    symbols: Sequence[str],
    labels: Sequence[str],
    limits: StructureLimits,
) -> Crystal:
    elements = [element_of_type(symbol) for symbol in symbols]
    numbers: IntArray = np.array([number for number, _ in elements], dtype=np.int64)
    isotopes = sorted({isotope for _, isotope in elements if isotope is not None})
    notes = tuple(isotope_note(isotope) for isotope in isotopes)
    return make_crystal(lattice, coordinates, numbers, notes=notes, limits=limits, labels=labels)


def _fractional(positions: FloatArray, lattice: FloatArray, limits: StructureLimits) -> FloatArray:
    check_lattice(lattice, 1, limits)
    with np.errstate(invalid="ignore", over="ignore"):  # `make_crystal` refuses what is not finite
        coordinates: FloatArray = positions @ np.linalg.inv(lattice)
    return coordinates


def _require_sites(sites: Any, limits: StructureLimits) -> None:
    if not isinstance(sites, list):
        raise UnparsableStructure("The sites must be a list.")
    if not sites:
        raise NoAtoms("The structure has no atoms.")
    check_site_count(len(sites), limits)


def _require_periodic(pbc: Any) -> None:
    """Refuse what does not repeat along all three axes."""
    axes = _plain(pbc)
    axes = axes if isinstance(axes, list) else [axes]
    if not all(axes):
        raise MissingCell("The structure is not periodic along all three cell vectors: it is a molecule, wire or slab.")


def _array(value: Any, shape: tuple[int, ...] | None, what: str) -> FloatArray:
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise UnparsableStructure(f"{what.capitalize()} must be numbers.") from None
    if shape is not None and array.shape != shape:
        wanted = " x ".join(str(n) for n in shape)
        raise UnparsableStructure(f"{what.capitalize()} must be {wanted} numbers.")
    return array


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnparsableStructure(f"{what.capitalize()} must be a number, not {str(value)[:30]!r}.")
    try:
        return float(value)
    except OverflowError:
        raise UnparsableStructure(f"{what.capitalize()} is too large a number.") from None
