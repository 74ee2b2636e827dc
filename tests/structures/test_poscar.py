"""POSCAR: versions, scales, coordinate modes and refusals."""

import numpy as np
import pytest

from app.core.errors import (
    CoincidentAtoms,
    NoAtoms,
    StructureError,
    StructureTooLarge,
    UnparsableStructure,
    UnphysicalStructure,
)
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat, detect_format
from app.structures.reader import read_structure

VECTORS = "5.64 0 0\n0 5.64 0\n0 0 5.64\n"


def poscar(
    *,
    comment: str = "rock salt",
    scale: str = "1.0",
    vectors: str = VECTORS,
    elements: str = "Na Cl\n",
    counts: str = "1 1",
    mode: str = "Direct",
    rows: tuple[str, ...] = ("0 0 0", "0.5 0.5 0.5"),
) -> str:
    lines = "".join(f"{row}\n" for row in rows)
    return f"{comment}\n{scale}\n{vectors}{elements}{counts}\n{mode}\n{lines}"


def read(text: str) -> Crystal:
    assert detect_format(text) is StructureFormat.POSCAR
    return read_structure(text)


@pytest.mark.parametrize(
    "text",
    [
        poscar(),
        poscar(elements="Na_pv Cl/5f3a\n"),
        poscar(mode="Selective dynamics\nDirect", rows=("0 0 0 T T F", "0.5 0.5 0.5 F F F")),
        poscar(mode="Cartesian", rows=("0 0 0", "2.82 2.82 2.82")),
        poscar(mode="cartesian", scale="2", vectors="2.82 0 0\n0 2.82 0\n0 0 2.82\n", rows=("0 0 0", "1.41 1.41 1.41")),
        poscar(scale="-179.406144"),
        poscar(scale="1 1 1"),
        poscar(comment="Na Cl", elements=""),
        poscar(elements="", rows=("0 0 0 Na", "0.5 0.5 0.5 Cl")),
        poscar(rows=("0.0D0 0 0", "0.5D0 5.0D-1 0.5 comment", "", "0.0 0.0 0.0")),
        poscar().replace("\n", "\r\n"),
    ],
)
def test_the_same_crystal_in_every_form(text: str) -> None:
    crystal = read(text)
    assert crystal.atomic_numbers.tolist() == [11, 17]
    assert np.allclose(crystal.lattice, 5.64 * np.eye(3))
    assert np.allclose(crystal.fractional_coordinates, [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (poscar(elements=""), UnparsableStructure, "VASP 4"),
        (poscar(comment="Na Cl O", elements=""), UnparsableStructure, "VASP 4"),
        (poscar(elements="Na Xx\n"), UnparsableStructure, "Xx"),
        (poscar(elements="Na Cl O\n"), UnparsableStructure, "3 elements"),
        (poscar(counts="1 x"), UnparsableStructure, "Line 7"),
        (poscar(counts="1 -1"), UnparsableStructure, "Line 7"),
        (poscar(counts="0 0"), NoAtoms, "0"),
        (poscar(counts="1 9999999"), StructureTooLarge, "10000000"),
        (poscar(counts="1 99999999999"), UnparsableStructure, "Line 7"),
        (poscar(counts="1 3"), UnparsableStructure, "Line 11"),
        (poscar(mode="Fractional"), UnparsableStructure, "Direct"),
        (poscar(rows=("0 0 0", "0.5 0.5")), UnparsableStructure, "Line 10"),
        (poscar(rows=("0 0 0", "nan 0 0")), UnphysicalStructure, "not a number"),
        (poscar(rows=("0 0 0", "1e300 0 0")), UnphysicalStructure, "Cartesian"),
        (poscar(rows=("0 0 0", "inf 0 0"), mode="Cartesian"), UnphysicalStructure, "not a number"),
        (poscar(rows=("0 0 0", "0 0 0.999")), CoincidentAtoms, "Na"),
        (poscar(scale="0"), UnphysicalStructure, "zero"),
        (poscar(scale="nan"), UnphysicalStructure, "finite"),
        (poscar(vectors="1 0 0\n2 0 0\n0 0 1\n"), UnphysicalStructure, "Å³"),
        (poscar(scale="-10", vectors="1 0 0\n2 0 0\n0 0 1\n"), UnphysicalStructure, "no volume"),
        (poscar(vectors="1e200 0 0\n0 1e200 0\n0 0 1e200\n"), UnphysicalStructure, "500"),
    ],
)
def test_reasoned_errors(text: str, error: type[StructureError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        read_structure(text, StructureFormat.POSCAR)
