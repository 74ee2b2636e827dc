"""Descriptors of bonds: numbers known by hand, what must not change them, and no jumps."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from app.core.errors import InputKindMismatch, IsolatedAtom, StructureTooLarge, UnphysicalStructure
from app.learning.descriptors.bond_angles import DEGREES, order_parameters
from app.learning.descriptors.bond_springs import electron_springs, frequency_moments, gordy_springs
from app.learning.descriptors.bonding import BOND_NAMES, bond_descriptors
from app.learning.descriptors.bonds import ATOMIC_WEIGHT, CUTOFF, Bonds, find_bonds, find_pairs
from app.learning.descriptors.catalogue import VECTOR_NAMES, Descriptor, describe
from app.learning.descriptors.magpie import MAGPIE_NAMES, magpie_descriptors
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from tests.crystals import COMPOUNDS, bcc, crystal, diamond, fcc, other_cell, permuted, rotated, supercell, translated
from tests.learning.strategies import crystals

CHANGES: dict[str, Callable[[Crystal, int], Crystal]] = {
    "permutation": permuted,
    "rotation": rotated,
    "translation": lambda crystal, seed: translated(crystal, np.random.default_rng(seed).uniform(-2, 2, 3)),
    "supercell": lambda crystal, seed: supercell(crystal, ((2, 1, 1), (1, 2, 2), (3, 1, 1))[seed % 3]),
    "other cell": lambda crystal, seed: other_cell(crystal),
}


def named(crystal: Crystal) -> dict[str, float]:
    return dict(zip(BOND_NAMES, bond_descriptors(crystal).tolist(), strict=True))


def pair_of_atoms(distance: float, element: str = "Li") -> Crystal:
    """Two atoms in a cell so large that they see only each other."""
    return crystal(np.diag([30.0, 30.0, 30.0]), ["Na", element], [[0, 0, 0], [distance / 30.0, 0, 0]])


@pytest.mark.parametrize("change", sorted(CHANGES))
@settings(max_examples=25, deadline=None)
@given(crystal=crystals(), seed=st.integers(0, 1000))
def test_random_crystals(change: str, crystal: Crystal, seed: int) -> None:
    changed = CHANGES[change](crystal, seed)
    np.testing.assert_allclose(bond_descriptors(changed), bond_descriptors(crystal), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("change", sorted(CHANGES))
@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_symmetric_crystals(name: str, change: str) -> None:
    original = COMPOUNDS[name]
    changed = CHANGES[change](original, 5)
    np.testing.assert_allclose(bond_descriptors(changed), bond_descriptors(original), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["Al", "C", "Cu", "Fe", "Mg", "Si"])
def test_rounding_is_no_feature_of_one_element(name: str) -> None:
    """What symmetry makes zero or equal must be the same float32 in every cell: columns are scaled to unit spread."""
    original = COMPOUNDS[name]
    others = [supercell(original, (3, 3, 3)), *(CHANGES[change](original, 5) for change in sorted(CHANGES))]
    rows, _ = describe(Descriptor.BONDING, [original, *others])
    smallest = np.abs(rows[0]) < 0.00101
    assert smallest.sum() > 50 and (rows[:, smallest] == rows[0, smallest]).all()


def test_nothing_jumps_where_atoms_lose_sight_of_each_other() -> None:
    for others, elements in (([5.0, 30.0], ["Cs"]), ([3.1, 3.6], ["Cs"]), ([5.0, 30.0], ["Cs", "Cl"])):
        places = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]][: len(elements)]
        before, after = (
            bond_descriptors(crystal(np.diag([CUTOFF + shift, *others]), elements, places)) for shift in (-1e-7, 1e-7)
        )
        np.testing.assert_allclose(before, after, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(crystal=crystals(), seed=st.integers(0, 1000))
def test_small_moves_make_small_differences(crystal: Crystal, seed: int) -> None:
    """A jump would be as large however short the move; the numbers' own slopes are far below the bound."""
    step = np.random.default_rng(seed).normal(size=crystal.fractional_coordinates.shape)
    moved = Crystal(crystal.lattice, crystal.fractional_coordinates + 1e-9 * step, crystal.atomic_numbers)
    original = bond_descriptors(crystal)
    np.testing.assert_allclose(bond_descriptors(moved), original, rtol=1e-5, atol=1e-5)


def test_numbers_of_simple_crystals() -> None:
    copper = named(fcc(3.61, "Cu"))
    assert copper["volume per atom (Å3)"] == pytest.approx(3.61**3 / 4)
    assert copper["density (g/cm3)"] == pytest.approx(8.97, abs=0.02)
    assert copper["mean length of the shortest bond (Å)"] == pytest.approx(3.61 / 2**0.5)
    # The 12 nearest, each with weight 1, and the 6 next by 2^(1/2).
    assert copper["mean coordination number"] == pytest.approx(12 + 6 * np.exp(1 - 8), abs=1e-3)
    assert copper["mean difference of Electronegativity"] == 0.0
    assert copper["mean absolute charge"] == copper["mean electrostatic energy"] == 0.0
    assert copper["share of bonds between equal elements"] == pytest.approx(1.0)
    assert named(bcc(2.87, "Fe"))["mean coordination number"] == pytest.approx(
        8 + 6 * np.exp(1 - (4 / 3) ** 3), abs=0.01
    )
    assert named(diamond(3.57, "C"))["mean coordination number"] == pytest.approx(4.0, abs=1e-3)


def test_every_column_says_something() -> None:
    """None is zero but for rounding."""
    rows = np.stack([bond_descriptors(each) for each in COMPOUNDS.values()])
    silent = [name for name, spread in zip(BOND_NAMES, np.ptp(rows, axis=0), strict=True) if spread < 1e-4]
    assert silent == []


def test_springs_of_diamond() -> None:
    """Four bonds of four electrons each an atom; bond length a sqrt(3) / 4."""
    length, volume = 3.567 * 3**0.5 / 4, 3.567**3 / 4
    carbon = named(COMPOUNDS["C"])
    assert carbon["log springs per volume (electrons)"] == pytest.approx(np.log(8 / length**3 / volume), abs=1e-3)
    order = np.exp((2 * 0.76 - length) / 0.37)
    expected = 8 * 1.67 * order * (2.55 / length) ** 1.5 / volume
    assert carbon["log springs per volume (Gordy)"] == pytest.approx(np.log(expected), abs=1e-3)


def test_bonds_end_where_they_have_no_weight() -> None:
    """12 neighbours at once, 6 at sqrt(2) times that; bonds end at 20^(1/6)."""
    bonds = find_bonds(find_pairs(fcc(3.61, "Cu")))
    second = (1 - ((2**0.5 - 1) / (20 ** (1 / 6) - 1)) ** 2) ** 2
    np.testing.assert_allclose(np.sort(bonds.weights), [np.exp(-7)] * 6 + [1.0] * 12)
    np.testing.assert_allclose(np.sort(bonds.shells), [second] * 6 + [1.0] * 12)


def test_salt_is_ionic() -> None:
    salt = named(COMPOUNDS["NaCl"])
    assert salt["lowest charge"] == pytest.approx(-salt["highest charge"]) != 0
    assert salt["highest electrostatic energy"] < 0 < salt["mean difference of Electronegativity"]
    assert salt["covariance of Electronegativity"] < 0


def test_order_parameters_are_steinhardts() -> None:
    """Against spherical harmonics, bond by bond."""
    pairs = find_pairs(COMPOUNDS["SrTiO3"])
    bonds = find_bonds(pairs)
    near = bonds.pairs
    found = order_parameters(near, bonds.weights[None])[0]
    directions = near.vectors / near.distances[:, None]
    polar, azimuth = np.arccos(np.clip(directions[:, 2], -1, 1)), np.arctan2(directions[:, 1], directions[:, 0])
    for row, degree in zip(found, DEGREES, strict=True):
        squared = np.zeros(near.starts.shape[0])
        for order in range(-degree, degree + 1):
            mean = bonds.mean(sph_harm_y(degree, order, polar, azimuth))
            squared += 4 * np.pi / (2 * degree + 1) * np.abs(mean) ** 2
        np.testing.assert_allclose(row, np.sqrt(squared + 1e-6), atol=1e-9)


@pytest.mark.parametrize("make", [gordy_springs, electron_springs])
def test_moments_are_those_of_the_dynamical_matrix(make: Callable[[Bonds], npt.NDArray[np.float64]]) -> None:
    """Of a cell so large that its own zone centre samples every wave vector that a spring reaches."""
    doubled = supercell(COMPOUNDS["NaCl"], (2, 2, 2))
    bonds = find_bonds(find_pairs(doubled))
    springs = make(bonds)
    near, n = bonds.pairs, doubled.n_sites
    matrix = np.zeros((3 * n, 3 * n))
    masses = ATOMIC_WEIGHT[doubled.atomic_numbers]
    for i, j, vector, spring in zip(near.centre, near.neighbour, near.vectors, springs, strict=True):
        block = spring * np.outer(vector, vector) / (vector @ vector)
        matrix[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] += block / masses[i]
        matrix[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] -= block / np.sqrt(masses[i] * masses[j])
    first, second = np.trace(matrix) / (3 * n), (matrix @ matrix).trace() / (3 * n)
    expected = [first**0.5, second**0.25, np.log(second / first**2)]
    np.testing.assert_allclose(frequency_moments(doubled, bonds, springs), expected, rtol=1e-6)


def test_the_descriptor_is_magpie_and_bonds() -> None:
    items = [COMPOUNDS["NaCl"], parse_composition("NaCl"), pair_of_atoms(CUTOFF + 0.1), COMPOUNDS["SrTiO3"]]
    rows, errors = describe(Descriptor.BONDING, items)
    assert [type(error) for error in errors] == [type(None), InputKindMismatch, IsolatedAtom, type(None)]
    assert rows.dtype == np.float32 and rows.shape == (2, len(VECTOR_NAMES[Descriptor.BONDING]))
    assert VECTOR_NAMES[Descriptor.BONDING] == MAGPIE_NAMES + BOND_NAMES
    assert len(set(BOND_NAMES)) == len(BOND_NAMES)
    good = [COMPOUNDS["NaCl"], COMPOUNDS["SrTiO3"]]
    np.testing.assert_array_equal(rows[:, : len(MAGPIE_NAMES)], magpie_descriptors(good).astype(np.float32))
    np.testing.assert_array_equal(rows[1, len(MAGPIE_NAMES) :], bond_descriptors(good[1]).astype(np.float32))
    assert describe(Descriptor.BONDING, [])[0].shape == (0, rows.shape[1])
    assert Descriptor.BONDING.needs_structure


@pytest.mark.parametrize("distance", [0.6, 2.0, 4.6, 5.9, CUTOFF - 1e-9])
def test_numbers_stay_finite(distance: float) -> None:
    assert np.isfinite(bond_descriptors(pair_of_atoms(distance, "He")).astype(np.float32)).all()


def test_cells_that_would_fill_memory_are_refused() -> None:
    with pytest.raises(UnphysicalStructure, match="height"):
        bond_descriptors(crystal(np.diag([5e-6, 3000.0, 3000.0]), ["Na"], [[0, 0, 0]]))
    dense = supercell(fcc(2.2, "H"), (16, 16, 12))
    with pytest.raises(StructureTooLarge, match="can be described"):
        bond_descriptors(dense)
