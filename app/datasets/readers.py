"""Files of labelled structures or compositions -> rows: CSV, JSONL, Parquet, and zip (`archive`)."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from app.core.errors import DatasetInvalid, UnparsableStructure
from app.core.settings import LimitSettings
from app.datasets.archive import read_archive
from app.datasets.columns import Columns, find_columns, is_input_column
from app.datasets.rows import RawRow, RawTable, RowKind
from app.structures.archive import is_zip, shown_name
from app.structures.detect import decode_text
from app.structures.limits import DEFAULT_LIMITS

_DELIMITERS = (",", ";", "\t")
_PARQUET_MAGIC = b"PAR1"
_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip",
    b"BZh": "a bzip2",
    b"\xfd7zXZ": "an xz",
    b"7z\xbc\xaf": "a 7z",
    b"Rar!": "a RAR",
    b"\xd0\xcf\x11\xe0": "an Excel",
}
_PARQUET_BATCH_ROWS = 1000
_MAX_HEADER_CHARACTERS = 100_000

MALFORMED_ROW = "malformed_row"


def read_dataset(file: BinaryIO, property_key: str, limits: LimitSettings) -> RawTable:
    """The rows of an uploaded file; its format is known by its content.

    Raises DatasetInvalid when the file as a whole cannot be used; a row that cannot is a row with a `problem`.
    """
    head = file.read(8)
    file.seek(0)
    if is_zip(head):
        return read_archive(file, limits)
    if head.startswith(_PARQUET_MAGIC):
        return _read_parquet(file, property_key, limits)
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise DatasetInvalid(f"The file is {name} file. Send CSV, JSONL, Parquet, or a zip with id_prop.csv.")
    try:
        text = decode_text(file.read())
    except UnparsableStructure as error:
        raise DatasetInvalid("The file is binary, of no known kind. Send CSV, JSONL, Parquet or a zip.") from error
    if not text.strip():
        raise DatasetInvalid("The file is empty.")
    if text.lstrip()[0] in "{[":
        return _read_json_lines(text, property_key, limits)
    return _read_csv(text, property_key, limits)


def _read_csv(text: str, property_key: str, limits: LimitSettings) -> RawTable:
    # The limit is one of the whole process; it only has to be as large as the largest text that is read at all.
    csv.field_size_limit(DEFAULT_LIMITS.max_bytes + 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = next((fields for fields in reader if any(field.strip() for field in fields)), [])
        columns = find_columns(header, property_key)
        records = _csv_records(reader, header, limits)
        return _table("csv", columns, records, limits)
    except csv.Error as error:
        raise DatasetInvalid(f"The CSV breaks off at line {reader.line_num}: {error}.") from error


def _csv_records(reader: Any, header: list[str], limits: LimitSettings) -> Iterator[tuple[int, dict[str, Any] | str]]:
    line, n_empty = reader.line_num + 1, 0
    for fields in reader:
        if not any(field.strip() for field in fields):
            n_empty += 1
            _refuse_endless_emptiness(n_empty, limits)
        elif len(fields) == len(header):
            yield line, dict(zip(header, fields, strict=True))
        else:
            yield line, f"The row has {len(fields)} fields, the header {len(header)}: a text with commas needs quotes."
        line = reader.line_num + 1


def _delimiter(text: str) -> str:
    """The one that makes a known column of the header, else the one most frequent there."""
    lines = text[:_MAX_HEADER_CHARACTERS].lstrip().splitlines()
    header = lines[0] if lines else ""
    known = [d for d in _DELIMITERS if any(is_input_column(name) for name in header.split(d))]
    return known[-1] if known else max(_DELIMITERS, key=header.count)


def _read_json_lines(text: str, property_key: str, limits: LimitSettings) -> RawTable:
    records = list(_json_records(text, limits))
    if not any(isinstance(record, dict) for _, record in records):
        raise DatasetInvalid(f"The file holds no JSON object in a line. Line {records[0][0]}: {records[0][1]}")
    names = list(dict.fromkeys(name for _, record in records if isinstance(record, dict) for name in record))
    return _table("jsonl", find_columns(names, property_key), records, limits)


def _json_records(text: str, limits: LimitSettings) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if text.lstrip().startswith("["):
        raise DatasetInvalid("The file is one JSON array; write JSONL instead: one object in each line.")
    n_empty = n_records = 0
    for number, line in enumerate(io.StringIO(text), start=1):
        if not line.strip():
            n_empty += 1
            _refuse_endless_emptiness(n_empty, limits)
            continue
        n_records += 1
        if n_records > limits.max_dataset_rows:
            raise _too_many_rows(limits)
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"The line is not valid JSON: {str(error)[:100]}."
            continue
        except (ValueError, RecursionError):
            yield number, "The line is nested too deeply, or holds a number with too many digits."
            continue
        yield number, record if isinstance(record, dict) else "The line is not a JSON object."


def _read_parquet(file: BinaryIO, property_key: str, limits: LimitSettings) -> RawTable:
    try:
        parquet = pq.ParquetFile(file)
        if parquet.metadata.num_rows > limits.max_dataset_rows:
            raise _too_many_rows(limits)
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


def _table(
    format_name: str, columns: Columns, records: Iterable[tuple[int, dict[str, Any] | str]], limits: LimitSettings
) -> RawTable:
    rows: list[RawRow] = []
    for line, record in records:
        if len(rows) >= limits.max_dataset_rows:
            raise _too_many_rows(limits)
        rows.append(_row(line, record, columns))
    return RawTable(format_name, columns.input, columns.label, rows, list(columns.notes))


def _row(line: int, record: dict[str, Any] | str, columns: Columns) -> RawRow:
    if isinstance(record, str):
        return RawRow(line, str(line), columns.kind, "", "", (MALFORMED_ROW, record))
    given_id = record.get(columns.id) if columns.id is not None else None
    row_id = shown_name(str(given_id).strip()) if given_id is not None else ""
    content = record.get(columns.input)
    kind = RowKind.JSON if isinstance(content, dict) else columns.kind
    text = json.dumps(content) if isinstance(content, dict) else _text(content)
    problem = None if _is_storable(text) else (MALFORMED_ROW, "The text holds characters that are not valid Unicode.")
    return RawRow(line, row_id or str(line), kind, text, _text(record.get(columns.label)), problem)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        # Some writers of Parquet store text as bytes.
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _is_storable(text: str) -> bool:
    """Whether the text has no half of a character pair, which JSON can spell but no file can hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_endless_emptiness(n_empty: int, limits: LimitSettings) -> None:
    if n_empty > limits.max_dataset_rows:
        raise DatasetInvalid(f"The file has more than {limits.max_dataset_rows:,} empty lines.")


def _too_many_rows(limits: LimitSettings) -> DatasetInvalid:
    return DatasetInvalid(f"The data set has more than {limits.max_dataset_rows:,} rows, the most this service takes.")
