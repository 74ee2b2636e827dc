"""Which format a text is in, and which text some bytes are."""

import codecs
import re
from enum import StrEnum
from pathlib import PurePosixPath

from app.core.errors import UnparsableStructure


class StructureFormat(StrEnum):
    CIF = "cif"
    POSCAR = "poscar"
    JSON = "json"


_SUFFIXES = {
    ".cif": StructureFormat.CIF,
    ".mcif": StructureFormat.CIF,
    ".vasp": StructureFormat.POSCAR,
    ".poscar": StructureFormat.POSCAR,
    ".contcar": StructureFormat.POSCAR,
    ".json": StructureFormat.JSON,
}
_DATA_BLOCK = re.compile(r"^[^\S\n]*data_", flags=re.MULTILINE | re.IGNORECASE)
"""Blanks within one line only: over many empty lines the time would grow with the square of their number."""
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_POSCAR_LINES = 5


def decode_text(data: bytes) -> str:
    """The text of a structure file: UTF-8, UTF-16 with its mark, else Latin-1, as old CIFs are.

    Raises UnparsableStructure for binary content.
    """
    if data.startswith(_UTF16_MARKS):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\0" in text:
        raise UnparsableStructure("The file is binary, not a text such as a CIF or a POSCAR.")
    return text


def detect_format(text: str, name: str = "") -> StructureFormat:
    """The format of a text by its content, and by the file name where the content does not tell.

    Raises UnparsableStructure when neither does.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if start[:1] in ("{", "["):
        return StructureFormat.JSON
    if _DATA_BLOCK.search(text):
        return StructureFormat.CIF
    if _looks_like_poscar(text):
        return StructureFormat.POSCAR
    path = PurePosixPath(name.replace("\\", "/"))
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return StructureFormat.POSCAR
    if not start:
        raise UnparsableStructure("The text is empty.")
    raise UnparsableStructure("The text is neither a CIF (no data_ line), nor a POSCAR, nor JSON.")


def _looks_like_poscar(text: str) -> bool:
    """Whether the second line is a scale and the next three are vectors."""
    lines = text[:4000].splitlines()[1:_POSCAR_LINES]
    widths = [_leading_numbers(line) for line in lines]
    return len(widths) == _POSCAR_LINES - 1 and widths[0] in (1, 3) and all(width >= 3 for width in widths[1:])


def _leading_numbers(line: str) -> int:
    count = 0
    for word in line.split():
        try:
            float(word)
        except ValueError:
            break
        count += 1
    return count
