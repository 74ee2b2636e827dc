"""Candidates of a generator as a file that bulk predictions read."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from app.bulk.filtering import ElementFilter
from app.bulk.formats import InputFormat
from app.bulk.inputs import InputColumns, InputFile
from app.core.arrow import pa, pq
from app.screening.generation.candidates import candidate_kind, make_candidates
from app.screening.generator import Generator

_BATCH_ROWS = 1000


def generated_file(generator: Generator, n_rows: int) -> InputFile:
    """What `write_candidates` writes."""
    kind = candidate_kind(generator)
    columns = InputColumns(input=kind.value, kind=kind, id="id")
    return InputFile(format=InputFormat.PARQUET, columns=columns, n_rows=n_rows, max_rows=n_rows)


def write_candidates(generator: Generator, elements: ElementFilter | None, path: Path) -> None:
    """One row for each candidate."""
    schema = pa.schema([("id", pa.string()), (candidate_kind(generator).value, pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        candidates = make_candidates(generator, elements)
        while batch := list(islice(candidates, _BATCH_ROWS)):
            columns = [[candidate.id for candidate in batch], [candidate.text for candidate in batch]]
            writer.write_batch(pa.record_batch(columns, schema=schema))
