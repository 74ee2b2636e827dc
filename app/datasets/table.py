"""The stored form of a data set: Parquet with the texts as they were sent and labels in the property's unit."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.arrow import pa, pq
from app.core.errors import ArtifactCorrupt
from app.datasets.rows import RawRow, RowKind
from app.datasets.validation import UsableRow, parse_item
from app.registry.manifest import PropertyRecord
from app.structures.crystal import Crystal
from app.structures.formula import Composition

DatasetTable = tuple[list[Crystal] | list[Composition], npt.NDArray[np.float64], list[str]]
"""Items, targets (n,) in the property's unit, ids of the rows."""


@cache
def _schema() -> pa.Schema:
    return pa.schema([("row_id", pa.string()), ("kind", pa.string()), ("text", pa.string()), ("target", pa.float64())])


def content_sha256(rows: Sequence[UsableRow], record: PropertyRecord) -> str:
    """Hash of what the rows say about which property; not of the file, whose bytes depend on who wrote it."""
    digest = hashlib.sha256(record.model_dump_json().encode())
    for row in rows:
        digest.update(json.dumps([row.row_id, row.kind, row.text, row.target]).encode() + b"\n")
    return digest.hexdigest()


def write_table(rows: Sequence[UsableRow]) -> bytes:
    """The rows as Parquet."""
    columns = [
        [row.row_id for row in rows],
        [row.kind.value for row in rows],
        [row.text for row in rows],
        [row.target for row in rows],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _schema(), strict=True)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=_schema()), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_table(content: bytes) -> DatasetTable:
    """The rows again, read anew; ArtifactCorrupt when the content is no data set."""
    table = _columns(content)
    items = [parse_item(RowKind(kind), text) for kind, text in zip(table["kind"], table["text"], strict=True)]
    return items, np.array(table["target"], dtype=np.float64), table["row_id"]  # type: ignore[return-value]


def read_texts(content: bytes) -> list[RawRow]:
    """The rows as they were sent, `line` being the place from 1; raises ArtifactCorrupt."""
    table = _columns(content)
    columns = zip(table["row_id"], table["kind"], table["text"], table["target"], strict=True)
    return [
        RawRow(place, row_id, RowKind(kind), text, repr(target))
        for place, (row_id, kind, text, target) in enumerate(columns, start=1)
    ]


def _columns(content: bytes) -> dict[str, list[Any]]:
    try:
        table = pq.read_table(io.BytesIO(content), schema=_schema(), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactCorrupt(f"The stored data set cannot be read: {error}") from error
    return dict(table.to_pydict())
