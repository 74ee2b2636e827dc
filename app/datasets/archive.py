"""A zip in the layout of the CGCNN authors: `id_prop.csv` without a header, and one `<id>.cif` for each row."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from app.core.errors import DatasetInvalid, InvalidArchive, UnparsableStructure
from app.core.settings import LimitSettings
from app.datasets.rows import RawRow, RawTable, RowKind
from app.structures.archive import Archive, member_path, open_archive
from app.structures.detect import decode_text

TABLE_NAME = "id_prop.csv"

_STRUCTURE_SUFFIXES = {".cif": RowKind.CIF, ".vasp": RowKind.POSCAR, ".poscar": RowKind.POSCAR}
_DELIMITERS = (",", ";", "\t")

_Structures = dict[str, tuple[str, RowKind]]
"""Member and kind of each structure file, by id."""


def read_archive(file: BinaryIO, limits: LimitSettings) -> RawTable:
    """Read the table and the structures it names.

    Raises DatasetInvalid for what is no such zip, and for one that opens to more than the limits allow.
    """
    try:
        with open_archive(file, "the zip", limits, limits.max_inflated_bytes) as archive:
            table = _find_table(archive.members)
            structures = _structures_beside(archive.members, table)
            rows, notes = _read_rows(archive, table, structures, limits)
    except (InvalidArchive, csv.Error) as error:
        detail = error.detail if isinstance(error, InvalidArchive) else f"{TABLE_NAME} cannot be read: {error}."
        raise DatasetInvalid(detail[0].upper() + detail[1:]) from error
    left_over = len(structures) - len({_id_of(row.row_id) for row in rows} & structures.keys())
    if left_over:
        notes.append(f"{left_over:,} structure files are not named in {TABLE_NAME} and were not read.")
    return RawTable("zip", "<id>.cif", f"second column of {TABLE_NAME}", rows, notes)


def _find_table(members: Sequence[str]) -> str:
    tables = [member for member in members if member_path(member).name.lower() == TABLE_NAME]
    if not tables:
        shown = ", ".join(member[:60] for member in members[:5]) or "nothing"
        raise DatasetInvalid(f"The zip has no {TABLE_NAME} with a line `id,value` for each structure. It has: {shown}.")
    if len(tables) > 1:
        raise DatasetInvalid(f"The zip has {len(tables)} files {TABLE_NAME}; upload one data set at a time.")
    return tables[0]


def _structures_beside(members: Sequence[str], table: str) -> _Structures:
    """Structure files anywhere in the table's folder, by id: the name without its ending."""
    structures: _Structures = {}
    for member in members:
        path = member_path(member)
        kind = _STRUCTURE_SUFFIXES.get(path.suffix.lower())
        if kind is None or not path.is_relative_to(member_path(table).parent):
            continue
        if structures.setdefault(path.stem, (member, kind))[0] != member:
            raise DatasetInvalid(f"Two structure files have the id {path.stem!r}.")
    return structures


def _read_rows(
    archive: Archive, table: str, structures: _Structures, limits: LimitSettings
) -> tuple[list[RawRow], list[str]]:
    content = archive.read(table, limits.max_upload_bytes)
    if len(content) > limits.max_upload_bytes:
        raise DatasetInvalid(f"{TABLE_NAME} has more than {limits.max_upload_bytes:,} bytes.")
    text = _decoded(content, TABLE_NAME)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    rows: list[RawRow] = []
    notes: list[str] = []
    seen: set[str] = set()
    for fields in reader:
        if not any(field.strip() for field in fields):
            continue
        if not rows and not notes and len(fields) > 1 and _is_header(fields, structures):
            notes.append(f"The first line of {TABLE_NAME} was taken for a header.")
            continue
        if len(rows) >= limits.max_dataset_rows:
            raise DatasetInvalid(f"The data set has more than {limits.max_dataset_rows:,} rows.")
        row_id = fields[0].strip()
        label = fields[1].strip() if len(fields) > 1 else ""
        rows.append(_row(archive, RawRow(reader.line_num, row_id, RowKind.CIF, "", label), structures, seen))
        seen.add(row_id)
    return rows, notes


def _delimiter(text: str) -> str:
    first = text.lstrip().split("\n", 1)[0]
    return max(_DELIMITERS, key=first.count)


def _row(archive: Archive, row: RawRow, structures: _Structures, seen: set[str]) -> RawRow:
    """The row with the text of its structure file, or with its problem."""
    if row.row_id in seen:
        return replace(row, problem=("duplicate_id", f"The id {row.row_id[:60]!r} stands in an earlier line already."))
    found = structures.get(_id_of(row.row_id))
    if found is None:
        return replace(row, problem=("missing_file", f"The zip has no file {_id_of(row.row_id)[:60]}.cif."))
    member, kind = found
    try:
        return replace(row, kind=kind, text=decode_text(archive.read(member)))
    except UnparsableStructure as error:
        return replace(row, kind=kind, problem=(error.code, error.detail))


def _id_of(written: str) -> str:
    """The id, also where the table writes the file name."""
    path = PurePosixPath(written)
    return path.stem if path.suffix.lower() in _STRUCTURE_SUFFIXES else written


def _decoded(content: bytes, name: str) -> str:
    try:
        return decode_text(content)
    except UnparsableStructure as error:
        raise DatasetInvalid(f"{name} is not a text file.") from error


def _is_header(fields: list[str], structures: _Structures) -> bool:
    if _id_of(fields[0].strip()) in structures:
        return False
    try:
        float(fields[1])
    except ValueError:
        return fields[1].strip().replace("_", "").isalnum()
    return False
