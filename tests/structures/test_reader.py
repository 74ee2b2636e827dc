"""Texts as they come: marks, empty ones, ones of another format than was said."""

import pytest

from app.core.errors import UnparsableStructure
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from app.structures.reader import StructureFormat, read_structure


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_end_of_line_are_read(end: str) -> None:
    for text, fmt, n_sites in ((NACL_CIF, StructureFormat.CIF, 8), (DIAMOND_POSCAR, StructureFormat.POSCAR, 2)):
        crystal = read_structure("\ufeff" + text.replace("\n", end), fmt)
        assert len(crystal.atomic_numbers) == n_sites


@pytest.mark.parametrize(
    ("text", "fmt", "reason"),
    [
        ("", StructureFormat.CIF, "empty"),
        ("\ufeff \n", None, "empty"),
        (DIAMOND_POSCAR, StructureFormat.CIF, "no CIF; it looks like POSCAR"),
        ('{"sites": []}', StructureFormat.POSCAR, "no POSCAR; it looks like JSON"),
        (NACL_CIF + "# \ud800", StructureFormat.CIF, "valid Unicode"),
    ],
)
def test_what_is_not_what_was_said(text: str, fmt: StructureFormat | None, reason: str) -> None:
    with pytest.raises(UnparsableStructure, match=reason):
        read_structure(text, fmt)
