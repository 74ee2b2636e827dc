"""Random crystals through every format, with pymatgen as the oracle, and junk that must not break the readers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.io.vasp.inputs import Poscar

from app.core.errors import CoincidentAtoms, StructureError
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure, read_structures, structure_from_dict
from app.structures.validation import validate_crystal
from tests.crystals import COMPOUNDS, other_cell, rotated, supercell

pytestmark = pytest.mark.filterwarnings(
    "ignore:Set OLD_ERROR_HANDLING:DeprecationWarning", "ignore:Issues encountered while parsing CIF:UserWarning"
)

LENGTHS = st.floats(4.0, 9.0)
ANGLES = st.floats(75.0, 115.0)
COORDINATES = st.lists(st.tuples(*[st.integers(0, 11)] * 3), min_size=1, max_size=8, unique=True)


@st.composite
def structures(draw: st.DrawFn) -> Structure:
    """Random ordered structures on a grid, so that no two atoms are too close."""
    sites = draw(COORDINATES)
    lattice = Lattice.from_parameters(*(draw(LENGTHS) for _ in range(3)), *(draw(ANGLES) for _ in range(3)))
    species = [draw(st.sampled_from(["H", "Li", "O", "Ti", "Fe", "Ba", "La", "U"])) for _ in sites]
    structure = Structure(lattice, species, np.array(sites) / 12 + draw(st.floats(0, 0.01)))
    assume(structure.is_valid(tol=0.51))
    return structure


def assert_same(crystal: Crystal, structure: Structure, tolerance: float = 1e-3) -> None:
    """Same composition, cell and distances; the cells may be turned and the sites in another order."""
    assert crystal.element_counts == {k: int(v) for k, v in structure.composition.get_el_amt_dict().items()}
    ours = Structure(crystal.lattice, [int(z) for z in crystal.atomic_numbers], crystal.fractional_coordinates)
    assert np.allclose(ours.lattice.parameters, structure.lattice.parameters, atol=1e-4)
    distances = ours.lattice.get_all_distances(ours.frac_coords, structure.frac_coords)
    distances[np.not_equal.outer(np.array(ours.atomic_numbers), np.array(structure.atomic_numbers))] = np.inf
    assert distances.min(axis=1).max() < tolerance
    assert distances.min(axis=0).max() < tolerance


@settings(max_examples=60, deadline=None)
@given(structures())
def test_written_by_pymatgen_and_read_back(structure: Structure) -> None:
    assert_same(read_structure(str(CifWriter(structure))), structure)
    assert_same(read_structure(Poscar(structure.get_sorted_structure()).get_str()), structure)
    assert_same(structure_from_dict(structure.as_dict()), structure)


@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_symmetrised_cif_of_a_compound(name: str) -> None:
    crystal = COMPOUNDS[name]
    for source in (crystal, supercell(crystal, (2, 1, 1))):
        structure = Structure(source.lattice, [int(z) for z in source.atomic_numbers], source.fractional_coordinates)
        text = str(CifWriter(structure, symprec=0.01))
        oracle = CifParser.from_str(text).parse_structures(primitive=False)[0]
        assert_same(read_structure(text), oracle)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.sampled_from([2, 14, 62, 136, 148, 166, 194, 216, 221, 225, 227]), st.data())
def test_random_sites_under_a_space_group(number: int, data: st.DataObject) -> None:
    cell = (6.0, 7.0, 8.0, 85, 95, 100) if number == 2 else (6.0, 7.0, 8.0, 90, 97, 90) if number == 14 else None
    if cell is None:
        cell = (6.0, 7.0, 8.0, 90, 90, 90) if number == 62 else (9.0, 9.0, 9.0, 90, 90, 90)
        cell = (9.0, 9.0, 11.0, 90, 90, 120) if 143 <= number <= 194 else cell
    grid = st.sampled_from([0.0, 0.125, 0.25, 0.3333, 0.5, 0.6667, 0.75, 0.1234, 0.4321])
    rows = [data.draw(st.tuples(grid, grid, grid)) for _ in range(2)]
    structure = Structure.from_spacegroup(number, Lattice.from_parameters(*cell), ["Na", "Cl"], rows, tol=1e-3)
    assume(structure.is_valid(tol=0.51) and structure.volume / len(structure) > 2)
    text = str(CifWriter(structure, symprec=1e-3, refine_struct=False))
    # The oracle is the structure itself: pymatgen's reader doubles sites such as (0.3334, 0.6667, z) of this writer.
    assert_same(read_structure(text), structure, tolerance=3e-3)


@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_validation_does_not_depend_on_the_cell(name: str) -> None:
    skew = ((1, 3, 0), (0, 1, 0), (2, 5, 1))
    for crystal in (COMPOUNDS[name], other_cell(COMPOUNDS[name], skew), rotated(COMPOUNDS[name], 1)):
        validate_crystal(crystal)
        validate_crystal(supercell(crystal, (3, 3, 3)))
        doubled = Crystal(
            crystal.lattice,
            np.vstack([crystal.fractional_coordinates, crystal.fractional_coordinates[:1] + 1e-3]),
            np.append(crystal.atomic_numbers, 1),
        )
        for source in (doubled, supercell(doubled, (4, 4, 4))):
            with pytest.raises(CoincidentAtoms):
                validate_crystal(source)


VALID = (
    "data_x\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    "_cell_angle_gamma 90\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    "C1 0 0 0\n"
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300), st.sampled_from([None, *StructureFormat]))
@example("\ud800", StructureFormat.CIF)
@example("data_\x00", None)
def test_junk_raises_only_structure_errors(text: str, fmt: StructureFormat | None) -> None:
    for result in read_structures(text, fmt):
        assert (result.crystal is None) != (result.error is None)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(VALID)), st.integers(0, 40), st.text("0123456789.-?'\"\n ;_#xyzCeEnaif\x00é", max_size=12))
def test_damaged_cif_raises_only_structure_errors(start: int, length: int, inserted: str) -> None:
    for result in read_structures(VALID[:start] + inserted + VALID[start + length :], StructureFormat.CIF):
        assert result.error is None or isinstance(result.error, StructureError)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=10,
)
KEYS = [
    ("lattice", "sites"),
    ("numbers", "positions", "cell", "pbc"),
    ("species", "species_at_sites", "lattice_vectors", "cartesian_site_positions", "nperiodic_dimensions"),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KEYS), st.data())
def test_junk_objects_raise_only_structure_errors(keys: tuple[str, ...], data: st.DataObject) -> None:
    sources = (
        COMPOUNDS["NaCl"].lattice.tolist(),
        [{"species": [{"element": "Na", "occu": 1}], "abc": [0, 0, 0]}],
        [11, 17],
        ["Na"],
    )
    document = {key: data.draw(st.one_of(JSON_VALUES, st.sampled_from(sources))) for key in keys}
    try:
        crystal = structure_from_dict(document)
    except StructureError:
        return
    assert crystal.n_sites > 0
