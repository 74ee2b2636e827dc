"""Files of structures or compositions of any length: looked at once, then read row by row, each time the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ConfigDict

from app.bulk.archives import count_members, read_members
from app.bulk.formats import InputFormat
from app.core.arrow import pa, pq
from app.core.errors import DatasetInvalid, TooManyInputs
from app.core.settings import LimitSettings
from app.datasets.columns import Columns, find_columns
from app.datasets.readers import PARQUET_MAGIC, refuse_json_array, refuse_other_format
from app.datasets.records import (
    Record,
    csv_header,
    csv_reader,
    csv_records,
    find_delimiter,
    json_records,
    raw_row,
)
from app.datasets.rows import RawRow, RowKind
from app.structures.archive import is_zip
from app.structures.limits import DEFAULT_LIMITS

HEAD_BYTES = 1_000_000
LOOKED_AT_ROWS = 100
_MAX_LINE_CHARACTERS = DEFAULT_LIMITS.max_bytes + 1
_PARQUET_BATCH_ROWS = 64
_PARQUET_BUFFER_BYTES = 1 << 20
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class InputColumns(BaseModel):
    """Names as the file writes them; `id` is None when rows are called by their place."""

    model_config = ConfigDict(frozen=True)

    input: str
    kind: RowKind
    id: str | None


class InputFile(BaseModel):
    """What a look at a file found: enough to read it. `n_rows` is None where only reading all of it would tell."""

    model_config = ConfigDict(frozen=True)

    format: InputFormat
    columns: InputColumns | None = None
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    n_rows: int | None = None
    max_rows: int
    notes: tuple[str, ...] = ()


def look_at(file: BinaryIO, limits: LimitSettings, max_rows: int) -> InputFile:
    """Recognise the format by content, find the columns, take the first rows apart; reads no more than those.

    Raises DatasetInvalid or InvalidArchive for what cannot be used, and TooManyInputs where the file says how many
    rows it has and they are more than `max_rows`. The file is left at its beginning.
    """
    head = file.read(8)
    file.seek(0)
    try:
        if is_zip(head):
            found = InputFile(format=InputFormat.ZIP, n_rows=count_members(file, limits), max_rows=max_rows)
        elif head.startswith(PARQUET_MAGIC):
            found = _look_at_parquet(file, max_rows)
        else:
            refuse_other_format(head, "zip of structure files")
            found = _look_at_text(file, max_rows)
    finally:
        file.seek(0)
    if found.n_rows == 0:
        raise DatasetInvalid("The file has no rows.")
    if found.n_rows is not None:
        refuse_too_many(found.n_rows, max_rows)
    return found


def dataset_file(n_rows: int, max_rows: int) -> InputFile:
    """A stored data set (see `app.datasets.table`)."""
    columns = InputColumns(input="text", kind=RowKind.UNKNOWN, id="row_id")
    return InputFile(format=InputFormat.DATASET, columns=columns, n_rows=n_rows, max_rows=max_rows)


def refuse_too_many(n_rows: int, max_rows: int) -> None:
    """Raise TooManyInputs for more rows than one job may have."""
    if n_rows > max_rows:
        raise TooManyInputs(
            f"The file has more than {max_rows:,} rows, the most of one bulk prediction. Split it.", limit=max_rows
        )


def read_rows(path: Path, found: InputFile, limits: LimitSettings) -> Iterator[RawRow]:
    """Every row in order, `line` being its place from 1; a row that cannot be taken apart has a `problem`.

    The same file gives the same rows each time. Holds a few rows in memory at most. Raises DatasetInvalid where the
    file breaks off, and TooManyInputs.
    """
    with path.open("rb") as file:
        for row in _rows(file, found, limits):
            if row.line > found.max_rows:
                refuse_too_many(row.line, found.max_rows)
            yield row


def count_rows(path: Path, found: InputFile) -> int:
    """How many rows a CSV or JSONL file has; raises what `read_rows` raises, without looking into the rows."""
    with path.open("rb") as file:
        if found.format is InputFormat.CSV:
            n_rows = sum(1 for _ in _csv_records(file, found))
        else:
            n_rows = sum(1 for line in _lines(file, found.encoding) if line.strip())
    refuse_too_many(n_rows, found.max_rows)
    return n_rows


def _rows(file: BinaryIO, found: InputFile, limits: LimitSettings) -> Iterator[RawRow]:
    match found.format:
        case InputFormat.ZIP:
            yield from read_members(file, limits)
            return
        case InputFormat.DATASET:
            yield from _dataset_rows(file)
            return
        case InputFormat.CSV:
            records = _csv_records(file, found)
        case InputFormat.JSONL:
            records = json_records(_lines(file, found.encoding), found.max_rows + 1)
        case InputFormat.PARQUET:
            records = _parquet_records(file, found)
    assert found.columns is not None
    columns = Columns(found.columns.input, found.columns.kind, None, found.columns.id)
    for place, (_, record) in enumerate(records, start=1):
        yield raw_row(place, record, columns)


def _look_at_text(file: BinaryIO, max_rows: int) -> InputFile:
    head = file.read(HEAD_BYTES)
    encoding = _encoding(head)
    start = head.decode(encoding, "replace")
    if "\0" in start:
        raise DatasetInvalid("The file is binary, of no known kind. Send CSV, JSONL, Parquet or a zip.")
    if not start.strip():
        raise DatasetInvalid("The file is empty.")
    file.seek(0)
    refuse_json_array(start)
    if start.lstrip()[0] == "{":
        return _look_at_json(file, encoding, max_rows)
    found = InputFile(format=InputFormat.CSV, encoding=encoding, delimiter=find_delimiter(start), max_rows=max_rows)
    with _reading_csv(file, found) as reader:
        header = csv_header(reader)
        columns = find_columns(header, None)
        if next(csv_records(reader, header, max_rows), None) is None:
            raise DatasetInvalid("The file has no rows under its header.")
    return found.model_copy(update={"columns": _input_columns(columns), "notes": columns.notes})


def _look_at_json(file: BinaryIO, encoding: str, max_rows: int) -> InputFile:
    with closing(_lines(file, encoding)) as lines:
        records = list(islice(json_records(lines, max_rows + LOOKED_AT_ROWS), LOOKED_AT_ROWS))
    objects = [record for _, record in records if isinstance(record, dict)]
    if not objects:
        raise DatasetInvalid(f"The file holds no JSON object in a line. Line {records[0][0]}: {records[0][1]}")
    names = list(dict.fromkeys(name for record in objects for name in record))
    columns = find_columns(names, None)
    return InputFile(
        format=InputFormat.JSONL, columns=_input_columns(columns), encoding=encoding, max_rows=max_rows,
        notes=columns.notes,
    )  # fmt: skip


def _look_at_parquet(file: BinaryIO, max_rows: int) -> InputFile:
    with _reading_parquet():
        parquet = pq.ParquetFile(file)
        columns = find_columns(parquet.schema_arrow.names, None)
        next(parquet.iter_batches(batch_size=1, columns=[columns.input]), None)
    return InputFile(
        format=InputFormat.PARQUET, columns=_input_columns(columns), n_rows=int(parquet.metadata.num_rows),
        max_rows=max_rows, notes=columns.notes,
    )  # fmt: skip


def _input_columns(columns: Columns) -> InputColumns:
    return InputColumns(input=columns.input, kind=columns.kind, id=columns.id)


def _encoding(head: bytes) -> str:
    """UTF-8, UTF-16 with its mark, else Latin-1. The last character of the head may be cut."""
    if head.startswith(_UTF16_MARKS):
        return "utf-16"
    try:
        head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "utf-8-sig" if len(head) == HEAD_BYTES and error.start >= len(head) - 4 else "latin-1"
    return "utf-8-sig"


def _lines(file: BinaryIO, encoding: str) -> Generator[str]:
    """Lines of text; one that is longer than anything that is read comes in pieces. The file stays open."""
    # Bytes that are no text become half characters, which the row that holds them is then refused for.
    text = io.TextIOWrapper(file, encoding, "replace" if encoding == "utf-16" else "surrogateescape", newline="")
    try:
        while line := text.readline(_MAX_LINE_CHARACTERS):
            yield line
    finally:
        if not file.closed:  # Python's collector, which ends what was stopped half way, may close the file first.
            text.detach()


@contextmanager
def _reading_csv(file: BinaryIO, found: InputFile) -> Iterator[Any]:
    with closing(_lines(file, found.encoding)) as lines:
        reader = csv_reader(lines, found.delimiter)
        try:
            yield reader
        except csv.Error as error:
            raise DatasetInvalid(f"The CSV breaks off at line {reader.line_num}: {error}.") from error


@contextmanager
def _reading_parquet() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetInvalid(f"The Parquet file cannot be read: {str(error)[:200]}.") from error


def _csv_records(file: BinaryIO, found: InputFile) -> Iterator[Record]:
    with _reading_csv(file, found) as reader:
        header = csv_header(reader)
        yield from csv_records(reader, header, found.max_rows)


def _parquet_records(file: BinaryIO, found: InputFile) -> Iterator[Record]:
    assert found.columns is not None
    names = [name for name in (found.columns.input, found.columns.id) if name is not None]
    yield from enumerate(_parquet_dicts(file, names), start=1)


def _parquet_dicts(file: BinaryIO, names: list[str]) -> Iterator[dict[str, Any]]:
    with _reading_parquet():
        parquet = pq.ParquetFile(file, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
        for batch in parquet.iter_batches(batch_size=_PARQUET_BATCH_ROWS, columns=names):
            yield from batch.to_pylist()


def _dataset_rows(file: BinaryIO) -> Iterator[RawRow]:
    for place, row in enumerate(_parquet_dicts(file, ["row_id", "kind", "text"]), start=1):
        yield RawRow(place, row["row_id"], RowKind(row["kind"]), row["text"], "")
