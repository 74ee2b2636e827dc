"""Zips of structure files, one input each."""

from collections.abc import Iterator
from typing import BinaryIO

from app.core.errors import InvalidArchive, UnparsableStructure
from app.core.settings import LimitSettings
from app.datasets.rows import RawRow, RowKind
from app.structures.archive import Archive, is_archive, member_path, open_archive, shown_name
from app.structures.detect import decode_text

_NO_STRUCTURES = frozenset({"id_prop.csv", "atom_init.json"})
"""What the layout of the CGCNN authors has beside the structures."""

_CALLED = "The zip"


def count_members(file: BinaryIO, limits: LimitSettings) -> int:
    """How many structure files the zip lists. Raises InvalidArchive."""
    with open_archive(file, _CALLED, limits, limits.max_inflated_bytes) as archive:
        return len(_structure_files(archive))


def read_members(file: BinaryIO, limits: LimitSettings) -> Iterator[RawRow]:
    """The structure files in the order of the zip, called by their path there; a damaged one has a `problem`."""
    with open_archive(file, _CALLED, limits, limits.max_inflated_bytes) as archive:
        for place, member in enumerate(_structure_files(archive), start=1):
            yield _row(archive, member, place)


def _structure_files(archive: Archive) -> list[str]:
    return [member for member in archive.members if member_path(member).name not in _NO_STRUCTURES]


def _row(archive: Archive, member: str, place: int) -> RawRow:
    row_id = shown_name(member)
    try:
        content = archive.read(member)
        if is_archive(content):
            raise InvalidArchive(f"{row_id!r} is an archive itself: unpack it first.")
        return RawRow(place, row_id, RowKind.UNKNOWN, decode_text(content), "")
    except (InvalidArchive, UnparsableStructure) as error:
        return RawRow(place, row_id, RowKind.UNKNOWN, "", "", (error.code, error.detail))
