"""Average SOAP equals DScribe's, and does not change with what a crystal does not change with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import special_ortho_group

from app.core.errors import StructureTooLarge, UnphysicalStructure
from app.learning.descriptors.catalogue import Descriptor, describe
from app.learning.descriptors.soap import NO_PAIR, SoapSettings, average_soap
from app.learning.descriptors.soap_basis import _overlap, radial_basis
from app.structures.crystal import Crystal

GOLDEN = json.loads(Path(__file__).with_name("soap_golden.json").read_text())
SETTINGS = SoapSettings(**GOLDEN["settings"])


def crystal_of(entry: dict[str, Any]) -> Crystal:
    return Crystal(
        np.array(entry["lattice"], dtype=np.float64),
        np.array(entry["fractional_coordinates"], dtype=np.float64),
        np.array(entry["atomic_numbers"]),
    )


CRYSTALS = [crystal_of(entry) for entry in GOLDEN["crystals"]]


@pytest.mark.parametrize("entry", GOLDEN["crystals"], ids=lambda entry: entry["name"])
def test_blocks_are_dscribes(entry: dict[str, Any]) -> None:
    pairs, blocks = average_soap(crystal_of(entry), SETTINGS)
    assert len(pairs) == len(entry["blocks"])
    n_max = SETTINGS.n_max
    for pair, block in zip(pairs.tolist(), blocks, strict=True):
        first, second = divmod(pair, 101)
        by_degree = block.reshape(n_max, n_max, -1).transpose(2, 0, 1)
        kept = np.triu_indices(n_max) if first == second else np.divmod(np.arange(n_max**2), n_max)
        np.testing.assert_allclose(
            by_degree[:, kept[0], kept[1]].ravel(), entry["blocks"][f"{first}-{second}"], rtol=1e-8, atol=1e-10
        )


def test_the_basis_is_orthonormal() -> None:
    basis = radial_basis(6.0, 6, 4)
    for degree in range(5):
        mixing = basis.mixing[degree]
        product = mixing @ _overlap(basis.exponents[degree], degree) @ mixing.T
        np.testing.assert_allclose(product, np.eye(6), atol=1e-8)


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_rotation_translation_order_and_cell_change_nothing(crystal: Crystal) -> None:
    pairs, blocks = average_soap(crystal, SETTINGS)
    turn = special_ortho_group.rvs(3, random_state=np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(crystal.n_sites)
    doubled = np.concatenate([crystal.fractional_coordinates, crystal.fractional_coordinates + np.array([1.0, 0, 0])])
    doubled[:, 0] /= 2
    changed = [
        Crystal(crystal.lattice @ turn, crystal.fractional_coordinates, crystal.atomic_numbers),
        Crystal(crystal.lattice, crystal.fractional_coordinates + np.array([0.3, 1.7, -0.2]), crystal.atomic_numbers),
        Crystal(crystal.lattice, crystal.fractional_coordinates[order], crystal.atomic_numbers[order]),
        Crystal(crystal.lattice * [[2.0], [1.0], [1.0]], doubled, np.tile(crystal.atomic_numbers, 2)),
    ]
    for other in changed:
        same_pairs, same_blocks = average_soap(other, SETTINGS)
        assert np.array_equal(pairs, same_pairs)
        np.testing.assert_allclose(same_blocks, blocks, atol=1e-9)


def test_blocks_have_length_one_and_see_a_displacement() -> None:
    _, blocks = average_soap(CRYSTALS[2], SETTINGS)
    assert np.linalg.norm(blocks) == pytest.approx(1.0, rel=1e-12)
    moved = CRYSTALS[2].fractional_coordinates.copy()
    moved[0] += 0.05
    _, others = average_soap(Crystal(CRYSTALS[2].lattice, moved, CRYSTALS[2].atomic_numbers), SETTINGS)
    assert np.abs(others - blocks).max() > 1e-3


def test_an_atom_alone_has_a_spectrum_of_its_own() -> None:
    pairs, blocks = average_soap(Crystal(30.0 * np.eye(3), np.zeros((1, 3)), np.array([10])), SETTINGS)
    assert pairs.tolist() == [10 * 101 + 10]
    assert np.isfinite(blocks).all()


def test_what_would_not_fit_is_refused_before() -> None:
    many = 20_000
    packed = Crystal(50.0 * np.eye(3), np.random.default_rng(0).random((many, 3)), np.full(many, 14))
    with pytest.raises(StructureTooLarge, match="neighbours"):
        average_soap(packed, SETTINGS)
    with pytest.raises(UnphysicalStructure, match="height"):
        average_soap(Crystal(np.diag([1e-5, 1e4, 1e4]), np.zeros((1, 3)), np.array([14])), SETTINGS)


def test_rows_are_padded_to_the_longest() -> None:
    rows, errors = describe(Descriptor.SOAP, CRYSTALS, SETTINGS)
    assert errors == [None] * 3
    assert rows.shape == (3, 6, 1 + SETTINGS.block_size) and rows.dtype == np.float32
    assert (rows[:, :, 0] != NO_PAIR).sum(axis=1).tolist() == [3, 3, 6]
    assert np.all(rows[0, 3:, 1:] == 0)
