"""The results of one chunk: a table in long form, one line for each input and model, as a Parquet file."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_NAME = pa.dictionary(pa.int32(), pa.string())

RESULT_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("input_id", pa.string()),
        ("property", _NAME),
        ("value", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("unit", _NAME),
        ("model", _NAME),
        ("version", pa.int32()),
        ("in_domain", pa.bool_()),
        ("domain_score", pa.float64()),
        ("notes", _NAME),
        ("error_code", _NAME),
        ("error_detail", pa.string()),
    ]
)
"""What users are sent. `row` is the place of the input in the file, from 1. `value` is null exactly where `error_code`
is not."""

PART_SCHEMA = pa.schema([*RESULT_SCHEMA, pa.field("difficulty", pa.float64()), pa.field("formula", _NAME)])
"""What is kept. `difficulty` is the expected size of the error on the scale the model learns, up to a factor that all
its predictions share; `formula` is reduced, in alphabetical order."""

_COUNTS = (b"first_row", b"n_inputs", b"n_failed", b"n_lines")


@dataclass(frozen=True, slots=True)
class PartInfo:
    """What a part holds. `n_failed` counts inputs without any value, `n_lines` lines of the table."""

    number: int
    first_row: int
    n_inputs: int
    n_failed: int
    n_lines: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a value's error: its interval, how far its input is from the training data, the difficulty."""

    lower: float | None = None
    upper: float | None = None
    in_domain: bool | None = None
    score: float | None = None
    difficulty: float | None = None


@dataclass(slots=True)
class Lines:
    """Lines of a part while they are made, and the rows that got a value."""

    columns: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in PART_SCHEMA))
    answered: set[int] = field(default_factory=set)

    def add_value(
        self, row: int, input_id: str, value: float, model: Sequence[Any], known: Known, notes: Sequence[str],
        formula: str | None = None,
    ) -> None:  # fmt: skip
        """`model` are property, unit, name and version."""
        key, unit, name, version = model
        self._add(
            row, input_id, key, value, known.lower, known.upper, unit, name, version, known.in_domain, known.score,
            "; ".join(notes) or None, None, None, known.difficulty, formula,
        )  # fmt: skip
        self.answered.add(row)

    def add_error(
        self, row: int, input_id: str, code: str, detail: str, model: Sequence[Any] | None = None,
        formula: str | None = None,
    ) -> None:  # fmt: skip
        """Of one model, or without it of the input itself."""
        key, unit, name, version = model or (None, None, None, None)
        self._add(
            row, input_id, key, None, None, None, unit, name, version, None, None, None, code, detail, None, formula
        )  # fmt: skip

    def extend(self, other: "Lines") -> None:
        for mine, theirs in zip(self.columns, other.columns, strict=True):
            mine.extend(theirs)
        self.answered |= other.answered

    def _add(self, *cells: Any) -> None:
        for column, cell in zip(self.columns, cells, strict=True):
            column.append(cell)


def write_part(path: Path, number: int, rows: range, lines: Lines) -> PartInfo:
    """Write the part at once or not at all; `rows` are the places of its inputs."""
    info = PartInfo(number, rows.start, len(rows), len(rows) - len(lines.answered), len(lines.columns[0]))
    arrays = [pa.array(column, field.type) for column, field in zip(lines.columns, PART_SCHEMA, strict=True)]
    counts = dict(zip(_COUNTS, (str(n).encode() for n in _counts(info)), strict=True))
    table = pa.Table.from_arrays(arrays, schema=PART_SCHEMA.with_metadata(counts))
    partial = path.with_suffix(f".{os.getpid()}.partial")
    pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
    os.replace(partial, path)
    return info


def read_info(path: Path, number: int) -> PartInfo:
    """What a written part holds, without reading its lines."""
    metadata = pq.read_schema(path).metadata
    return PartInfo(number, *(int(metadata[name]) for name in _COUNTS))


def read_part(source: Path | pa.Buffer) -> pa.Table:
    """The lines of a part. Raises pyarrow.ArrowException or OSError for a damaged one."""
    table = pq.read_table(source, page_checksum_verification=True)
    return table.replace_schema_metadata(None)


def total(infos: Iterable[PartInfo]) -> tuple[int, int, int]:
    """Inputs, failed inputs and lines of all parts."""
    n_inputs = n_failed = n_lines = 0
    for info in infos:
        n_inputs, n_failed, n_lines = n_inputs + info.n_inputs, n_failed + info.n_failed, n_lines + info.n_lines
    return n_inputs, n_failed, n_lines


def _counts(info: PartInfo) -> tuple[int, int, int, int]:
    return info.first_row, info.n_inputs, info.n_failed, info.n_lines
