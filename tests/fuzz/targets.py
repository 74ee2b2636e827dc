"""What is fed: each reader of files from outside. Refusing is right; any other error is a finding."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.bulk.inputs import look_at, read_rows
from app.bulk.reading import read_row
from app.core.errors import InvalidInput, StructureError
from app.core.settings import LimitSettings
from app.datasets.inspection import inspect_table
from app.datasets.readers import read_dataset
from app.datasets.table import read_texts, write_table
from app.predictions.inputs import StructureText
from app.predictions.uploads import UploadedFile, read_uploads
from app.properties.catalogue import get_property
from app.structures.composition import parse_composition
from app.structures.detect import decode_text
from app.structures.reader import read_structures

LIMITS = LimitSettings(
    max_upload_bytes=2_000_000, max_dataset_rows=400, max_archive_members=200, max_inflated_bytes=4_000_000,
    max_inputs_per_request=100,
)  # fmt: skip
"""So tight that the bounds are reached."""

_SPEC = get_property("band_gap")
MAX_ROWS = 400

Feed = Callable[[bytes], None]


def composition(data: bytes) -> None:
    """A formula."""
    try:
        parsed = parse_composition(data.decode("utf-8", "replace"))
    except InvalidInput as error:
        _check_sentence(error)
    else:
        assert parsed.amounts and all(0 < amount <= 1e5 for amount in parsed.amounts.values())


def structure(data: bytes) -> None:
    """A structure text of any format, in this process, without graphs."""
    try:
        results = read_structures(decode_text(data))
    except InvalidInput as error:
        _check_sentence(error)
        return
    assert results
    for result in results:
        assert (result.crystal is None) != (result.error is None)
        if result.error is not None:
            assert isinstance(result.error, StructureError)
            _check_sentence(result.error)


def table(data: bytes) -> None:
    """A data set, and the input of a bulk prediction: CSV, JSONL, Parquet or zip by content."""
    try:
        read = read_dataset(io.BytesIO(data), _SPEC.key, LIMITS)
    except InvalidInput as error:
        _check_sentence(error)
    else:
        inspection = inspect_table(read, _SPEC)
        inspection.report.model_dump_json()
        assert len(read_texts(write_table(inspection.rows))) == len(inspection.rows)
    _bulk(data)


def archive(data: bytes) -> None:
    """A zip as a data set, as a bulk prediction and as files of a prediction."""
    table(data)
    try:
        inputs, failed = read_uploads([UploadedFile("a.zip", io.BytesIO(data))], LIMITS)
    except InvalidInput as error:
        _check_sentence(error)
        return
    assert inputs or failed
    for given in inputs:
        assert isinstance(given.content, StructureText)


def _bulk(data: bytes) -> None:
    try:
        found = look_at(io.BytesIO(data), LIMITS, MAX_ROWS)
        with _file(data) as path:
            for row in read_rows(path, found, LIMITS):
                for entry in read_row(row, ()):
                    assert (entry.item is None) == (entry.problem is not None)
    except InvalidInput as error:
        _check_sentence(error)


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(dir=_memory(), prefix="fuzz-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _check_sentence(error: InvalidInput) -> None:
    assert 400 <= error.status < 500 and 0 < len(error.detail) < 3_000, error.detail[:200]
    error.detail.encode()


TARGETS: dict[str, Feed] = {
    "composition": composition,
    "cif": structure,
    "csv": table,
    "jsonl": table,
    "parquet": table,
    "zip": archive,
}
