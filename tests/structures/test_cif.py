"""CIF: what is read, and what is refused with which reason."""

import random
import time

import numpy as np
import pytest

from app.core.errors import (
    CoincidentAtoms,
    DisorderedStructure,
    MissingCell,
    NoAtoms,
    StructureError,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
    UnsupportedElement,
)
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure, read_structures
from tests.structures.cif_texts import SITE_COLUMNS, cif_text, operations_loop

TYPED = ("label", "type_symbol", "fract_x", "fract_y", "fract_z")
WITH_OCCUPANCY = (*SITE_COLUMNS, "occupancy")
INVERSION = ("x,y,z", "-x,-y,-z")


def read(text: str) -> Crystal:
    return read_structure(text, StructureFormat.CIF)


def test_rocksalt_from_each_statement_of_symmetry() -> None:
    rows = ["Na1 0 0 0", "Cl1 0.5 0.5 0.5"]
    statements = (
        "_symmetry_space_group_name_H-M 'F m -3 m'\n",
        "_space_group_name_H-M_alt Fm-3m\n",
        "_space_group_name_Hall '-F 4 2 3'\n",
        "_space_group_IT_number 225\n",
    )
    for statement in statements:
        crystal = read(cif_text(rows, cell=(5.64, 5.64, 5.64, 90, 90, 90), extra=statement))
        assert crystal.element_counts == {"Cl": 4, "Na": 4}
        assert crystal.volume == pytest.approx(5.64**3)


def test_space_group_number_alone_is_noted() -> None:
    crystal = read(cif_text(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"], extra="_space_group_IT_number 225\n"))
    assert any("225" in note for note in crystal.notes)


@pytest.mark.parametrize("tag", ["_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz"])
def test_listed_operations_count_before_the_name(tag: str) -> None:
    text = cif_text(
        ["Na1 0.1 0.2 0.3"], extra="_space_group_name_H-M_alt 'F m -3 m'\n" + operations_loop(INVERSION, tag)
    )
    assert read(text).n_sites == 2


def test_no_symmetry_at_all_is_p1_and_noted() -> None:
    crystal = read(cif_text(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"]))
    assert crystal.n_sites == 2
    assert any("P 1" in note for note in crystal.notes)


def test_factors_without_a_multiplication_sign() -> None:
    cell = (10.0, 6.0, 5.0, 90.0, 120.0, 90.0)
    texts = [
        cif_text(["C1 0.1 0.2 0.3"], cell=cell, extra=operations_loop(["x, y, z", factor]))
        for factor in ("x, y, 2x-z", "x, y, 2*x-z")
    ]
    crystals = [read_structure(text) for text in texts]
    for crystal in crystals:
        np.testing.assert_allclose(sorted(crystal.fractional_coordinates[:, 2]), [0.3, 0.9])


def test_identity_missing_from_the_operations_is_added() -> None:
    assert read(cif_text(["Na1 0.1 0.2 0.3"], extra=operations_loop(["-x,-y,-z"]))).n_sites == 2


@pytest.mark.parametrize(
    ("symmetry", "reason"),
    [
        ("_space_group_name_H-M_alt 'Q 9 9'\n", "Q 9 9"),
        ("_space_group_name_Hall 'nonsense'\n", "nonsense"),
        ("_space_group_IT_number 999\n", "999"),
        ("_space_group_name_H-M_alt 'F d -3 m'\n", "two origin choices"),
        (operations_loop(["x,y,z", "x,y"]), "x,y"),
        (operations_loop(["x,y,z", "x,x,z"]), "x,x,z"),
        ("_cell_modulation_dimension 1\n", "modulated"),
    ],
)
def test_symmetry_that_is_not_understood_is_refused(symmetry: str, reason: str) -> None:
    with pytest.raises(UnparsableStructure, match=reason):
        read(cif_text(["C1 0 0 0"], extra=symmetry))


def test_origin_choices_are_told_apart() -> None:
    for name, x in (("F d -3 m :1", "0"), ("F d -3 m :2", "0.125"), ("F d -3 m S", "0"), ("F d -3 m Z", "0.125")):
        text = cif_text(
            [f"C1 {x} {x} {x}"], cell=(3.567,) * 3 + (90.0,) * 3, extra=f"_space_group_name_H-M_alt '{name}'\n"
        )
        assert read(text).n_sites == 8, name


def test_rhombohedral_and_hexagonal_axes_are_told_by_the_angles() -> None:
    name = "_symmetry_space_group_name_H-M 'R -3 m'\n"
    assert read(cif_text(["Bi1 0 0 0"], cell=(4.5, 4.5, 11.8, 90, 90, 120), extra=name)).n_sites == 3
    assert read(cif_text(["Bi1 0 0 0"], cell=(4.7, 4.7, 4.7, 57, 57, 57), extra=name)).n_sites == 1


def test_cell_without_the_symmetry_of_its_operations_is_refused() -> None:
    with pytest.raises(UnphysicalStructure, match="symmetry"):
        read(cif_text(["Na1 0 0 0"], cell=(4, 5, 6, 90, 90, 90), extra="_symmetry_space_group_name_H-M 'F m -3 m'\n"))


def test_rounded_thirds_meet_on_the_special_position() -> None:
    rows = ["Mg1 0.3333 0.6667 0.25"]
    for digits in ("0.3333 0.6667", "0.33333 0.66667", "0.333 0.667", "0.3333 0.6666"):
        rows = [f"Mg1 {digits} 0.25"]
        text = cif_text(
            rows, cell=(3.21, 3.21, 5.21, 90, 90, 120), extra="_symmetry_space_group_name_H-M 'P 63/m m c'\n"
        )
        crystal = read(text)
        assert crystal.n_sites == 2
        assert np.allclose(np.sort(crystal.fractional_coordinates[:, 0]), [1 / 3, 2 / 3], atol=1e-12)


def test_site_near_a_special_position_is_moved_onto_it_and_noted() -> None:
    text = cif_text(["Na1 0.01 0 0", "Cl1 0.5 0.5 0.5"], extra=operations_loop(INVERSION))
    crystal = read(text)
    assert crystal.n_sites == 2
    assert np.allclose(crystal.fractional_coordinates[0], 0)
    assert any("Na1" in note and "0.05" in note for note in crystal.notes)


def test_copies_across_the_cell_border_are_merged() -> None:
    crystal = read(cif_text(["Na1 0.99999 0 0"], extra=operations_loop(INVERSION)))
    assert crystal.n_sites == 1
    assert ((crystal.fractional_coordinates >= 0) & (crystal.fractional_coordinates < 1)).all()


@pytest.mark.parametrize(
    ("symbol", "number"),
    [("Fe3+", 26), ("O2-", 8), ("O-2", 8), ("Fe+3", 26), ("FE", 26), ("Si", 14), ("Cl1-", 17), ("H", 1)],
)
def test_charges_and_case_of_type_symbols(symbol: str, number: int) -> None:
    assert read(cif_text([f"A1 {symbol} 0 0 0"], columns=TYPED)).atomic_numbers.tolist() == [number]


@pytest.mark.parametrize(
    ("label", "number"), [("Fe1", 26), ("O2a", 8), ("Ow1", 8), ("HN1", 1), ("ZN1", 30), ("Si(1)", 14), ("C", 6)]
)
def test_element_from_the_label(label: str, number: int) -> None:
    assert read(cif_text([f"{label} 0 0 0"])).atomic_numbers.tolist() == [number]


@pytest.mark.parametrize("label", ["NA1", "Wat", "X1", "Q2", "1", "Du1"])
def test_label_that_names_no_element_or_two(label: str) -> None:
    with pytest.raises(UnparsableStructure, match="_atom_site_type_symbol"):
        read(cif_text([f"{label} 0 0 0"]))


@pytest.mark.parametrize("symbol", ["NH3", "OH", "Xx", "Wat", "M"])
def test_groups_and_placeholders_are_no_elements(symbol: str) -> None:
    with pytest.raises(UnparsableStructure, match=symbol):
        read(cif_text([f"A1 {symbol} 0 0 0"], columns=TYPED))


def test_deuterium_is_hydrogen_and_said_so() -> None:
    crystal = read(cif_text(["D1 0 0 0", "O1 0.2 0.2 0.2"]))
    assert crystal.element_counts == {"H": 1, "O": 1}
    assert "deuterium (D) read as hydrogen" in crystal.notes


def test_element_beyond_fermium() -> None:
    with pytest.raises(UnsupportedElement, match="Lr"):
        read(cif_text(["A1 Lr 0 0 0"], columns=TYPED))


@pytest.mark.parametrize(
    ("rows", "columns", "named"),
    [
        (["Li1 0 0 0 0.5", "O1 0.5 0.5 0.5 1"], WITH_OCCUPANCY, "Li1"),
        (["Fe1 0 0 0 0.6", "Ni1 0 0 0 0.4"], WITH_OCCUPANCY, "Fe1"),
        (["C1 0 0 0 1", "C2 0.5 0.5 0.5 2"], (*SITE_COLUMNS, "disorder_group"), "C1"),
        (["M1 '0.8Nb + 0.2Zr' 0 0 0"], TYPED, "M1"),
    ],
)
def test_disorder_names_the_sites(rows: list[str], columns: tuple[str, ...], named: str) -> None:
    with pytest.raises(DisorderedStructure, match=named):
        read(cif_text(rows, columns=columns))


@pytest.mark.parametrize("occupancy", ["1", "1.0000(5)", "0.999", "?", "."])
def test_full_occupancies(occupancy: str) -> None:
    assert read(cif_text([f"Fe1 0 0 0 {occupancy}"], columns=WITH_OCCUPANCY)).n_sites == 1


@pytest.mark.parametrize("occupancy", ["1.5", "-0.1", "abc", "nan"])
def test_impossible_occupancies(occupancy: str) -> None:
    with pytest.raises(UnphysicalStructure, match="Fe1"):
        read(cif_text([f"Fe1 0 0 0 {occupancy}"], columns=WITH_OCCUPANCY))


def test_empty_sites_are_left_out_and_noted() -> None:
    crystal = read(cif_text(["Fe1 0 0 0 1", "Li1 0.5 0.5 0.5 0"], columns=WITH_OCCUPANCY))
    assert crystal.element_counts == {"Fe": 1}
    assert any("Li1" in note for note in crystal.notes)


def test_dummy_atoms_are_refused() -> None:
    with pytest.raises(UnparsableStructure, match="C2"):
        read(cif_text(["C1 0 0 0 d", "C2 0.5 0.5 0.5 dum"], columns=(*SITE_COLUMNS, "calc_flag")))


def test_hydrogen_without_a_place_is_refused() -> None:
    with pytest.raises(UnparsableStructure, match="N1"):
        read(cif_text(["N1 0 0 0 4", "Cl1 .5 .5 .5 0"], columns=(*SITE_COLUMNS, "attached_hydrogens")))
    with pytest.raises(UnparsableStructure, match="no site of H"):
        read(cif_text(["O1 0 0 0"], extra="_chemical_formula_sum 'H2 O'\n"))


def test_other_formula_is_noted() -> None:
    crystal = read(cif_text(["Na1 0 0 0", "Cl1 .5 .5 .5"], extra="_chemical_formula_sum 'Na2 Cl'\n"))
    assert any("Na2 Cl" in note for note in crystal.notes)


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (cif_text(["C1 0 0 ?"]), UnparsableStructure, "coordinate z of site C1 is missing"),
        (cif_text(["C1 0 0 1/3"]), UnparsableStructure, "'1/3'"),
        (cif_text(["C1 0 0 nan"]), UnparsableStructure, "C1"),
        (cif_text(["C1 0 0 1e300"]), UnphysicalStructure, "Cartesian"),
        (cif_text(["C1 0 0 0"], cell=None), MissingCell, "no unit cell"),
        (cif_text(["C1 0 0 0"], cell=("?", 5, 5, 90, 90, 90)), MissingCell, "_cell_length_a"),
        (cif_text(["C1 0 0 0"], cell=("inf", 5, 5, 90, 90, 90)), StructureError, "length"),
        (cif_text(["C1 0 0 0"], cell=(-5, 5, 5, 90, 90, 90)), UnphysicalStructure, "length a"),
        (cif_text(["C1 0 0 0"], cell=(0, 5, 5, 90, 90, 90)), UnphysicalStructure, "length a"),
        (cif_text(["C1 0 0 0"], cell=(5, 5, 5, 0, 90, 90)), UnphysicalStructure, "alpha"),
        (cif_text(["C1 0 0 0"], cell=(5, 5, 5, 60, 60, 120)), UnphysicalStructure, "close no cell"),
        (cif_text(["C1 0 0 0"], cell=(5, 5, 5, 10, 60, 170)), UnphysicalStructure, "close no cell"),
        (cif_text(["C1 0 0 0"], cell=(0.5, 0.5, 5, 90, 90, 90)), UnphysicalStructure, "Å³"),
        (cif_text(["C1 0 0 0"], cell=(0.6, 50, 50, 90, 90, 90)), UnphysicalStructure, "repeats itself"),
        (cif_text(["C1 0 0 0"], cell=(5e6, 5, 5, 90, 90, 90)), UnphysicalStructure, "500"),
        (cif_text([]), NoAtoms, "no atom"),
        (cif_text(["? ? ? ?"]), NoAtoms, "no atom"),
        (cif_text(["C1 0 0 0", "O1 0.01 0 0"]), CoincidentAtoms, "C1 and O1"),
        (cif_text(["C1 0 0 0.001", "O1 0 0 0.999"]), CoincidentAtoms, "C1 and O1"),
        ("data_only_text\n_publ_section_title 'x'\n", NoAtoms, "no structure"),
        ("", UnparsableStructure, "empty"),
        ("hello", UnparsableStructure, "line 1"),
    ],
)
def test_reasoned_errors(text: str, error: type[StructureError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        read(text)


def test_every_block_with_sites_is_an_input() -> None:
    text = (
        "data_global\n_publ_author_name 'A'\n"
        + cif_text(["Na1 0 0 0"], name="one")
        + cif_text(["Li1 0 0 0 0.5"], columns=WITH_OCCUPANCY, name="two")
        + cif_text(["K1 0 0 0"], cell=None, name="three")
        + "data_bonds\n_geom_bond_distance 1.5\n"
    )
    results = read_structures(text)
    assert [result.block_name for result in results] == ["one", "two", "three"]
    assert results[0].crystal is not None
    assert [type(result.error) for result in results[1:]] == [DisorderedStructure, MissingCell]
    with pytest.raises(UnparsableStructure, match="3 structures"):
        read_structure(text)


@pytest.mark.parametrize(
    "fault",
    [
        "_audit 'a quoted string\n over two lines.\n'\n",
        "_journal_volume 385–386\n_x 'unclosed\n",
        "loop_\n_a\n_b\n1 2 3\n",
    ],
)
def test_broken_syntax_is_read_leniently_and_noted(fault: str) -> None:
    crystal = read(cif_text(["Na1 0 0 0", "Cl1 0.5 0.5 0.5"], extra=fault))
    assert crystal.element_counts == {"Cl": 1, "Na": 1}
    assert any("leniently" in note for note in crystal.notes)


def test_dot_as_coordinate_is_the_default_and_noted() -> None:
    crystal = read(cif_text(["Mn1 . . .", "F1 0.5 . ."]))
    assert crystal.fractional_coordinates.tolist() == [[0, 0, 0], [0.5, 0, 0]]
    assert any("dot" in note for note in crystal.notes)


def test_magnetic_operations_without_time() -> None:
    extra = operations_loop(["x,y,z,+1", "-x,-y,-z,-1"], "_space_group_symop_magn_operation.xyz")
    extra += operations_loop(["x,y,z,+1", "x+1/2,y+1/2,z+1/2,-1"], "_space_group_symop_magn_centering.xyz")
    crystal = read(cif_text(["Ni1 0.1 0.2 0.3"], cell=(9, 9, 9, 90, 90, 90), extra=extra))
    assert crystal.n_sites == 4
    assert "magnetic moments were left out" in crystal.notes


def test_dotted_tags() -> None:
    text = cif_text(["Na1 0 0 0"]).replace("_cell_", "_cell.").replace("_atom_site_", "_atom_site.")
    assert read(text).n_sites == 1


def test_sites_without_values_are_no_atoms() -> None:
    tags = "".join(f"_atom_site_{name}\n" for name in ("fract_z", "type_symbol", "fract_x", "fract_y"))
    with pytest.raises(NoAtoms):
        read(cif_text([]) + tags)


def bomb(group: str, n_sites: int, length: float = 30.0) -> str:
    rng = random.Random(0)
    rows = [f"C{i} {rng.random():.5f} {rng.random():.5f} {rng.random():.5f}" for i in range(n_sites)]
    cell = (length, length, length, 90, 90, 90)
    return cif_text(rows, cell=cell, extra=f"_symmetry_space_group_name_H-M '{group}'\n")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (bomb("F m -3 m", 20), StructureTooLarge),
        (bomb("F m -3 m", 100), StructureTooLarge),
        (bomb("F m -3 m", 400), StructureTooLarge),
        (bomb("F m -3 m", 2000), StructureTooLarge),
        (bomb("P 1", 10_000), StructureTooLarge),
        (bomb("P 1", 40_000), StructureTooLarge),
        (bomb("P 1", 1, 0.2), UnphysicalStructure),
        (bomb("P 1", 1, 0.06), UnphysicalStructure),
        (cif_text([f"C{i} 0 0 0" for i in range(2000)], cell=(60, 60, 60, 90, 90, 90)), CoincidentAtoms),
        (cif_text(["C1 0 0 0"], extra=operations_loop([f"x+{i % 24}/24,y,z" for i in range(5000)])), StructureTooLarge),
        ("data_a\n_x '" + "'a " * 1_500_000, UnparsableStructure),
        ("data_a\n_b 'x\n" + "".join(f"_cell_{i} 1\n" for i in range(40_000)), NoAtoms),
        ("#" * 6_000_000, StructureTooLarge),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_bombs_are_refused_at_once(text: str, error: type[StructureError]) -> None:
    start = time.process_time()
    with pytest.raises(error):
        read(text)
    assert time.process_time() - start < 0.5


def test_a_few_sites_at_a_time_give_the_same_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some on special positions, one a little off its own, in a cell with room for all."""
    rows = ["Na1 0 0 0", "Cl1 0.5 0.5 0.5", "O1 0.25 0.25 0.2504", "C1 0.11 0.22 0.37", "N1 0 0.3 0.3"]
    text = cif_text(rows, cell=(40, 40, 40, 90, 90, 90), extra="_symmetry_space_group_name_H-M 'F m -3 m'\n")
    at_once = read(text)
    monkeypatch.setattr("app.structures.symmetry._IMAGES_AT_ONCE", 400)
    in_parts = read(text)
    assert at_once.n_sites == 4 + 4 + 8 + 192 + 48
    assert np.array_equal(in_parts.fractional_coordinates, at_once.fractional_coordinates)
    assert np.array_equal(in_parts.atomic_numbers, at_once.atomic_numbers)
    assert in_parts.notes == at_once.notes


def test_many_blocks_share_one_budget() -> None:
    blocks = [bomb("F m -3 m", 10, 40.0).replace("data_test", f"data_{i}") for i in range(400)]
    results = read_structures("".join(blocks))
    assert len(results) == 400
    assert isinstance(results[-1].error, StructureTooLarge)


def test_cell_constant_is_kept() -> None:
    crystal = read(cif_text(["C1 0 0 0"], cell=(3.1, "4.2(1)", 5.3, 80, 95, "101.5(2)")))
    lengths = np.linalg.norm(crystal.lattice, axis=1)
    assert np.allclose(lengths, [3.1, 4.2, 5.3])
    unit = crystal.lattice / lengths[:, None]
    angles = np.degrees(np.arccos([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]]))
    assert np.allclose(angles, [80, 95, 101.5])


@pytest.mark.parametrize(
    "text",
    [
        cif_text(["A1 Fe" + "0" * 1_000_000 + "x 0 0 0"], columns=TYPED),
        cif_text(["Q" * 1_000_000 + " 0 0 0"]),
        cif_text(["C1 0 0 0"], extra=f"_space_group_name_H-M_alt '{'P' * 1_000_000}'\n"),
        cif_text(["C1 0 0 0"], extra=f"_space_group_name_Hall '{'P 1 ' * 250_000}'\n"),
        cif_text(["C1 0 0 0"], extra=operations_loop(["x,y,z", "x" * 1_000_000])),
        cif_text(["C1 0 0 0"], extra=operations_loop(["x,y,z" + " " * 1_000_000 + "junk"])),
        cif_text(["C1 0 0 0"], extra=f"_space_group_name_H-M_alt 'P 1{' ' * 1_000_000}junk'\n"),
        cif_text(["C1 0 0 0 " + "9" * 1_000_000], columns=WITH_OCCUPANCY),
        cif_text(["C1 0 0 " + "x" * 1_000_000]),
        cif_text([], name="n" * 1_000_000),
    ],
)
def test_long_texts_are_not_echoed(text: str) -> None:
    (result,) = read_structures(text)
    assert result.error is not None
    assert len(result.error.detail) < 500
    assert len(str(result.error.context)) < 500
    assert len(result.block_name) <= 100
