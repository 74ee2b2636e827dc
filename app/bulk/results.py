"""The parts of a run as one file, made while it is sent: CSV, JSONL or Parquet, in the order of the input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from app.bulk.formats import ResultFormat
from app.bulk.parts import result_schema
from app.core.arrow import pa, pcsv, pq

PARTS_PER_ROW_GROUP = 10

MEDIA_TYPES = {
    ResultFormat.CSV: "text/csv; charset=utf-8",
    ResultFormat.JSONL: "application/jsonl",
    ResultFormat.PARQUET: "application/vnd.apache.parquet",
}


def encode(parts: Iterable[pa.Table], fmt: ResultFormat, schema: pa.Schema | None = None) -> Iterator[bytes]:
    """The columns of `schema` as a file in pieces; each part is asked for when it is due, and none is kept.

    Without a schema those that users are sent.
    """
    schema = result_schema() if schema is None else schema
    parts = (part.select(schema.names) for part in parts)
    if fmt is ResultFormat.PARQUET:
        return _parquet(parts, schema)
    return _csv(parts, schema) if fmt is ResultFormat.CSV else _json_lines(parts)


def _csv(parts: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(schema.names)
    yield header.getvalue().encode()
    plain = pa.schema([(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in schema])
    for part in parts:
        sink = io.BytesIO()
        pcsv.write_csv(part.cast(plain), sink, pcsv.WriteOptions(include_header=False))
        yield sink.getvalue()


def _json_lines(parts: Iterable[pa.Table]) -> Iterator[bytes]:
    for part in parts:
        yield b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in part.to_pylist())


def _parquet(parts: Iterable[pa.Table], schema: pa.Schema) -> Iterator[bytes]:
    sink = io.BytesIO()
    out = _Taken(sink)
    with pq.ParquetWriter(out, schema, compression="zstd", write_page_checksum=True) as writer:
        held: list[pa.Table] = []
        for part in parts:
            held.append(part)
            if len(held) == PARTS_PER_ROW_GROUP:
                writer.write_table(_joined(held))
                held = []
                yield out.take()
        if held:
            writer.write_table(_joined(held))
    yield out.take()


def _joined(parts: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


class _Taken(io.RawIOBase):
    """A file that only grows: what was written can be taken away, the position stays."""

    def __init__(self, held: io.BytesIO) -> None:
        self._held = held
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        size = self._held.write(memoryview(data))  # type: ignore[arg-type]
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        content = self._held.getvalue()
        self._held.seek(0)
        self._held.truncate()
        return content
