"""A zip in the layout of the CGCNN authors: `id_prop.csv` without a header, and one `<id>.cif` for each row."""

import csv
import io
import zipfile
import zlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from app.core.errors import DatasetInvalid, UnparsableStructure
from app.core.settings import LimitSettings
from app.datasets.rows import RawRow, RawTable, RowKind
from app.structures.detect import decode_text
from app.structures.limits import DEFAULT_LIMITS

TABLE_NAME = "id_prop.csv"

_STRUCTURE_SUFFIXES = {".cif": RowKind.CIF, ".vasp": RowKind.POSCAR, ".poscar": RowKind.POSCAR}
_ENCRYPTED_FLAG = 0x1
_SMALL_BYTES = 100_000
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


def read_archive(file: BinaryIO, limits: LimitSettings) -> RawTable:
    """Read the table and the structures it names.

    Raises DatasetInvalid for what is no such zip, and for one that opens to more than the limits allow.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, limits)
            table = _find_table(members)
            structures = _structures_beside(members, table)
            rows, notes = _read_rows(archive, table, structures, limits)
    except _BROKEN_ZIP as error:
        raise DatasetInvalid(f"The zip file cannot be read: {str(error)[:200]}.") from error
    left_over = len(structures) - len({row.row_id for row in rows} & structures.keys())
    if left_over:
        notes.append(f"{left_over:,} structure files are not named in {TABLE_NAME} and were not read.")
    return RawTable("zip", "<id>.cif", f"second column of {TABLE_NAME}", rows, notes)


def _members(archive: zipfile.ZipFile, limits: LimitSettings) -> dict[PurePosixPath, zipfile.ZipInfo]:
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    total_bytes = 0
    if len(archive.filelist) > limits.max_archive_members:
        n_files = len(archive.filelist)
        raise DatasetInvalid(f"The zip has {n_files:,} files; at most {limits.max_archive_members:,} are read.")
    for member in archive.filelist:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if member.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts:
            continue
        if member.flag_bits & _ENCRYPTED_FLAG:
            raise DatasetInvalid("The zip is protected by a password.")
        if member.file_size > _SMALL_BYTES and member.file_size > limits.max_inflation_ratio * member.compress_size:
            raise DatasetInvalid(f"{path.name!r} grows more than {limits.max_inflation_ratio} times when unpacked.")
        total_bytes += member.file_size
        members[path] = member
    if total_bytes > limits.max_inflated_bytes:
        raise DatasetInvalid(f"The zip opens to {total_bytes:,} bytes; at most {limits.max_inflated_bytes:,} are read.")
    return members


def _find_table(members: dict[PurePosixPath, zipfile.ZipInfo]) -> PurePosixPath:
    tables = [path for path in members if path.name.lower() == TABLE_NAME]
    if not tables:
        shown = ", ".join(str(path)[:60] for path in list(members)[:5]) or "nothing"
        raise DatasetInvalid(f"The zip has no {TABLE_NAME} with a line `id,value` for each structure. It has: {shown}.")
    if len(tables) > 1:
        raise DatasetInvalid(f"The zip has {len(tables)} files {TABLE_NAME}; upload one data set at a time.")
    return tables[0]


def _structures_beside(
    members: dict[PurePosixPath, zipfile.ZipInfo], table: PurePosixPath
) -> dict[str, tuple[zipfile.ZipInfo, RowKind]]:
    """Structure files anywhere in the table's folder, by id: the name without its ending."""
    structures: dict[str, tuple[zipfile.ZipInfo, RowKind]] = {}
    for path, member in members.items():
        kind = _STRUCTURE_SUFFIXES.get(path.suffix.lower())
        if kind is None or not path.is_relative_to(table.parent):
            continue
        if structures.setdefault(path.stem, (member, kind))[0] is not member:
            raise DatasetInvalid(f"Two structure files have the id {path.stem!r}.")
    return structures


def _read_rows(
    archive: zipfile.ZipFile,
    table: PurePosixPath,
    structures: dict[str, tuple[zipfile.ZipInfo, RowKind]],
    limits: LimitSettings,
) -> tuple[list[RawRow], list[str]]:
    info = next(m for m in archive.filelist if PurePosixPath(m.filename.replace("\\", "/")) == table)
    reader = csv.reader(io.StringIO(_decoded(_content(archive, info, limits.max_upload_bytes), TABLE_NAME), newline=""))
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


def _row(
    archive: zipfile.ZipFile, row: RawRow, structures: dict[str, tuple[zipfile.ZipInfo, RowKind]], seen: set[str]
) -> RawRow:
    """The row with the text of its structure file, or with its problem."""
    if row.row_id in seen:
        return replace(row, problem=("duplicate_id", f"The id {row.row_id[:60]!r} stands in an earlier line already."))
    found = structures.get(row.row_id)
    if found is None:
        return replace(row, problem=("missing_file", f"The zip has no file {row.row_id[:60]}.cif."))
    member, kind = found
    try:
        return replace(row, kind=kind, text=decode_text(_content(archive, member, DEFAULT_LIMITS.max_bytes)))
    except UnparsableStructure as error:
        return replace(row, kind=kind, problem=(error.code, error.detail))


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, max_bytes: int) -> bytes:
    # The sizes a zip declares may be lies: never inflate more than was agreed, whatever it says. One byte more tells
    # the reader of the text that it is too long.
    with archive.open(member) as opened:
        return opened.read(max_bytes + 1)


def _decoded(content: bytes, name: str) -> str:
    try:
        return decode_text(content)
    except UnparsableStructure as error:
        raise DatasetInvalid(f"{name} is not a text file.") from error


def _is_header(fields: list[str], structures: dict[str, tuple[zipfile.ZipInfo, RowKind]]) -> bool:
    if fields[0].strip() in structures:
        return False
    try:
        float(fields[1])
    except ValueError:
        return fields[1].strip().replace("_", "").isalnum()
    return False
