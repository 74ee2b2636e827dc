"""The results of one chunk: a table in long form, one line for each input and model, as a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from app.core.arrow import pa, pq

RESULT_COLUMNS = (
    "row", "input_id", "property", "value", "lower", "upper", "unit", "model", "version", "in_domain", "domain_score",
    "notes", "error_code", "error_detail",
)  # fmt: skip
"""What users are sent. `row` is the place of the input in the file, from 1. `value` is null exactly where `error_code`
is not."""

_PART_COLUMNS = (*RESULT_COLUMNS, "difficulty", "formula")
"""What is kept. `difficulty` is the expected size of the error on the scale the model learns, up to a factor that all
its predictions share; `formula` is reduced, in alphabetical order."""

_COUNTS = (b"first_row", b"n_inputs", b"n_failed", b"n_lines")


@cache
def result_schema() -> pa.Schema:
    """The types of `RESULT_COLUMNS`."""
    return _schema(RESULT_COLUMNS)


@cache
def _part_schema() -> pa.Schema:
    return _schema(_PART_COLUMNS)


def _schema(columns: Sequence[str]) -> pa.Schema:
    types = dict.fromkeys(("input_id", "error_detail"), pa.string())
    types |= dict.fromkeys(("value", "lower", "upper", "domain_score", "difficulty"), pa.float64())
    types |= {"row": pa.int64(), "version": pa.int32(), "in_domain": pa.bool_()}
    repeated = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([(column, types.get(column, repeated)) for column in columns])


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

    columns: tuple[list[Any], ...] = field(default_factory=lambda: tuple([] for _ in _part_schema()))
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

    def extend(self, other: Lines) -> None:
        for mine, theirs in zip(self.columns, other.columns, strict=True):
            mine.extend(theirs)
        self.answered |= other.answered

    def _add(self, *cells: Any) -> None:
        for column, cell in zip(self.columns, cells, strict=True):
            column.append(cell)


def write_part(path: Path, number: int, rows: range, lines: Lines) -> PartInfo:
    """Write the part at once or not at all; `rows` are the places of its inputs."""
    info = PartInfo(number, rows.start, len(rows), len(rows) - len(lines.answered), len(lines.columns[0]))
    arrays = [pa.array(column, field.type) for column, field in zip(lines.columns, _part_schema(), strict=True)]
    counts = dict(zip(_COUNTS, (str(n).encode() for n in _counts(info)), strict=True))
    table = pa.Table.from_arrays(arrays, schema=_part_schema().with_metadata(counts))
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
