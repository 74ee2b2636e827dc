"""Files of labelled structures or compositions -> rows: CSV, JSONL, Parquet, and zip (`archive`)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, BinaryIO

from app.core.arrow import pa, pq
from app.core.errors import DatasetInvalid, UnparsableStructure
from app.core.settings import LimitSettings
from app.datasets.archive import read_archive
from app.datasets.columns import Columns, find_columns
from app.datasets.records import (
    Record,
    csv_header,
    csv_reader,
    csv_records,
    find_delimiter,
    json_records,
    raw_row,
    too_many_rows,
)
from app.datasets.rows import RawRow, RawTable
from app.structures.archive import is_zip
from app.structures.detect import decode_text

PARQUET_MAGIC = b"PAR1"
_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip",
    b"BZh": "a bzip2",
    b"\xfd7zXZ": "an xz",
    b"7z\xbc\xaf": "a 7z",
    b"Rar!": "a RAR",
    b"\xd0\xcf\x11\xe0": "an Excel",
}
_PARQUET_BATCH_ROWS = 1000


def read_dataset(file: BinaryIO, property_key: str, limits: LimitSettings) -> RawTable:
    """The rows of an uploaded file; its format is known by its content.

    Raises DatasetInvalid when the file as a whole cannot be used; a row that cannot is a row with a `problem`.
    """
    head = file.read(8)
    file.seek(0)
    if is_zip(head):
        return read_archive(file, limits)
    if head.startswith(PARQUET_MAGIC):
        return _read_parquet(file, property_key, limits)
    refuse_other_format(head, "zip with id_prop.csv")
    try:
        text = decode_text(file.read())
    except UnparsableStructure as error:
        raise DatasetInvalid("The file is binary, of no known kind. Send CSV, JSONL, Parquet or a zip.") from error
    if not text.strip():
        raise DatasetInvalid("The file is empty.")
    if text.lstrip()[0] in "{[":
        return _read_json_lines(text, property_key, limits)
    return _read_csv(text, property_key, limits)


def refuse_other_format(head: bytes, zip_kind: str) -> None:
    """Raise DatasetInvalid for the first bytes of a packed file or a workbook; `zip_kind` is the zip to send."""
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise DatasetInvalid(f"The file is {name} file. Send CSV, JSONL, Parquet, or a {zip_kind}.")


def refuse_json_array(start: str) -> None:
    """Raise DatasetInvalid for the first characters of JSON that is not one object a line."""
    if start.lstrip().startswith("["):
        raise DatasetInvalid("The file is one JSON array; write JSONL instead: one object in each line.")


def _read_csv(text: str, property_key: str, limits: LimitSettings) -> RawTable:
    reader = csv_reader(io.StringIO(text, newline=""), find_delimiter(text))
    try:
        header = csv_header(reader)
        columns = find_columns(header, property_key)
        return _table("csv", columns, csv_records(reader, header, limits.max_dataset_rows), limits)
    except csv.Error as error:
        raise DatasetInvalid(f"The CSV breaks off at line {reader.line_num}: {error}.") from error


def _read_json_lines(text: str, property_key: str, limits: LimitSettings) -> RawTable:
    refuse_json_array(text)
    records = list(json_records(io.StringIO(text), limits.max_dataset_rows))
    if not any(isinstance(record, dict) for _, record in records):
        raise DatasetInvalid(f"The file holds no JSON object in a line. Line {records[0][0]}: {records[0][1]}")
    names = list(dict.fromkeys(name for _, record in records if isinstance(record, dict) for name in record))
    return _table("jsonl", find_columns(names, property_key), records, limits)


def _read_parquet(file: BinaryIO, property_key: str, limits: LimitSettings) -> RawTable:
    try:
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows > limits.max_dataset_rows:
            raise too_many_rows(limits.max_dataset_rows)
        if sum(_group_bytes(parquet, i) for i in range(parquet.num_row_groups)) > limits.max_inflated_bytes:
            raise DatasetInvalid(f"The Parquet file opens to more than {limits.max_inflated_bytes:,} bytes.")
        columns = find_columns(parquet.schema_arrow.names, property_key)
        wanted = [name for name in (columns.input, columns.label, columns.id) if name is not None]
        batches = parquet.iter_batches(batch_size=_PARQUET_BATCH_ROWS, columns=wanted)
        records = enumerate((record for batch in batches for record in batch.to_pylist()), start=1)
        return _table("parquet", columns, records, limits)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetInvalid(f"The Parquet file cannot be read: {str(error)[:200]}.") from error


def _group_bytes(parquet: Any, index: int) -> int:
    return int(parquet.metadata.row_group(index).total_byte_size)


def _table(format_name: str, columns: Columns, records: Iterable[Record], limits: LimitSettings) -> RawTable:
    rows: list[RawRow] = []
    for line, record in records:
        if len(rows) >= limits.max_dataset_rows:
            raise too_many_rows(limits.max_dataset_rows)
        rows.append(raw_row(line, record, columns))
    return RawTable(format_name, columns.input, columns.label or "", rows, list(columns.notes))
