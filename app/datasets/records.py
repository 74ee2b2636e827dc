"""Tables of text taken apart record by record, however long they are."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.core.errors import DatasetInvalid
from app.datasets.columns import Columns, is_input_column
from app.datasets.rows import RawRow, RowKind
from app.structures.archive import shown_name
from app.structures.limits import DEFAULT_LIMITS

Record = tuple[int, dict[str, Any] | str]
"""The line where it begins, and its fields by column or why it cannot be taken apart."""

MALFORMED_ROW = "malformed_row"

_DELIMITERS = (",", ";", "\t")
_MAX_HEADER_CHARACTERS = 100_000


def csv_reader(lines: Iterable[str], delimiter: str) -> Any:
    """A reader whose fields may be as long as the longest structure that is read at all."""
    # The limit is one of the whole process.
    csv.field_size_limit(DEFAULT_LIMITS.max_bytes + 1)
    return csv.reader(lines, delimiter=delimiter)


def csv_header(reader: Any) -> list[str]:
    """The first line with anything in it."""
    return next((fields for fields in reader if any(field.strip() for field in fields)), [])


def csv_records(reader: Any, header: Sequence[str], max_rows: int) -> Iterator[Record]:
    """What follows the header. Raises DatasetInvalid when more than `max_rows` lines are empty."""
    line, n_empty = reader.line_num + 1, 0
    for fields in reader:
        if not any(field.strip() for field in fields):
            n_empty += 1
            _refuse_endless_emptiness(n_empty, max_rows)
        elif len(fields) == len(header):
            yield line, dict(zip(header, fields, strict=True))
        else:
            yield line, f"The row has {len(fields)} fields, the header {len(header)}: a text with commas needs quotes."
        line = reader.line_num + 1


def find_delimiter(text: str) -> str:
    """The one that makes a known column of the header, else the one most frequent there."""
    lines = text[:_MAX_HEADER_CHARACTERS].lstrip().splitlines()
    header = lines[0] if lines else ""
    known = [d for d in _DELIMITERS if any(is_input_column(name) for name in header.split(d))]
    return known[-1] if known else max(_DELIMITERS, key=header.count)


def json_records(lines: Iterable[str], max_rows: int) -> Iterator[Record]:
    """One for each line that is not empty. Raises DatasetInvalid for more than `max_rows` of either."""
    n_empty = n_records = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            n_empty += 1
            _refuse_endless_emptiness(n_empty, max_rows)
            continue
        n_records += 1
        if n_records > max_rows:
            raise too_many_rows(max_rows)
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"The line is not valid JSON: {str(error)[:100]}."
            continue
        except (ValueError, RecursionError):
            yield number, "The line is nested too deeply, or holds a number with too many digits."
            continue
        yield number, record if isinstance(record, dict) else "The line is not a JSON object."


def raw_row(line: int, record: dict[str, Any] | str, columns: Columns) -> RawRow:
    """The row of a record; one without an id is called by its line."""
    if isinstance(record, str):
        return RawRow(line, str(line), columns.kind, "", "", (MALFORMED_ROW, record))
    given_id = record.get(columns.id) if columns.id is not None else None
    row_id = shown_name(str(given_id).strip()) if given_id is not None else ""
    content = record.get(columns.input)
    kind = RowKind.JSON if isinstance(content, dict) else columns.kind
    text = json.dumps(content) if isinstance(content, dict) else _text(content)
    label = _text(record.get(columns.label)) if columns.label is not None else ""
    problem = None if _is_storable(text) else (MALFORMED_ROW, "The text holds characters that are not valid Unicode.")
    return RawRow(line, row_id or str(line), kind, text, label, problem)


def too_many_rows(max_rows: int) -> DatasetInvalid:
    return DatasetInvalid(f"The data set has more than {max_rows:,} rows, the most this service takes.")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        # Some writers of Parquet store text as bytes.
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _is_storable(text: str) -> bool:
    """Whether the text has no half of a character pair, which JSON can spell but no file can hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_endless_emptiness(n_empty: int, max_rows: int) -> None:
    if n_empty > max_rows:
        raise DatasetInvalid(f"The file has more than {max_rows:,} empty lines.")
