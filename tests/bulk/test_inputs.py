"""Every format gives the same rows, streamed; what is no such file is refused by its first rows."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bulk import inputs
from app.bulk.chunks import cut
from app.bulk.inputs import count_rows, look_at, read_rows
from app.core.errors import XtalforgeError
from app.datasets.rows import RawRow, RowKind
from tests.bulk.tables import LIMITS, MAX_ROWS, as_csv, as_json_lines, as_parquet, as_zip, rows

N_ROWS = 150


def _read(folder: Path, content: bytes, max_rows: int = MAX_ROWS) -> list[RawRow]:
    path = folder / "input"
    path.write_bytes(content)
    with path.open("rb") as file:
        found = look_at(file, LIMITS, max_rows)
        assert file.tell() == 0
    read = list(read_rows(path, found, LIMITS))
    if found.n_rows is None:
        assert count_rows(path, found) == len(read)
    else:
        assert found.n_rows == len(read)
    return read


@pytest.mark.parametrize(
    "write",
    [
        as_csv,
        lambda records: as_csv(records, delimiter=";"),
        lambda records: as_csv(records, encoding="utf-16"),
        lambda records: as_csv(records, encoding="utf-8-sig"),
        as_json_lines,
        as_parquet,
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, write: Callable[[list[dict[str, str]]], bytes]) -> None:
    given = rows(N_ROWS)
    read = _read(tmp_path, write(given))
    assert [(row.line, row.row_id, row.text) for row in read] == [
        (place, record["id"], record["poscar"]) for place, record in enumerate(given, start=1)
    ]
    assert {row.kind for row in read} == {RowKind.POSCAR}


def test_a_zip_gives_its_files_by_name_without_the_table_of_a_data_set(tmp_path: Path) -> None:
    given = rows(N_ROWS)
    read = _read(tmp_path, as_zip(given))
    assert [(row.row_id, row.text) for row in read] == [(f"{r['id']}.vasp", r["poscar"]) for r in given]


def test_a_row_that_cannot_be_taken_apart_is_a_problem_of_its_own(tmp_path: Path) -> None:
    read = _read(tmp_path, b'{"composition": "NaCl"}\n\nnot json\n{"composition": "K\\ud800Cl"}\n[1]\n{"x": 1}\n')
    assert [row.line for row in read] == [1, 2, 3, 4, 5]
    assert [row.problem is not None for row in read] == [False, True, True, True, False]
    torn = _read(tmp_path, b"id,composition\nb,KCl,extra\n" + b"d,LiF\n" * 200_000 + b"c,\xff\xfe\na,NaCl\n", 10**6)
    assert [row.line for row in torn if row.problem is not None] == [1, 200_002]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"id,composition\n", "no rows"),
        (b"a,b\n1,2\n", "No column holds structures"),
        (b"[1]", "one JSON array"),
        (b"{oops\n", "no JSON object"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PAR1 is not enough", "cannot be read"),
        (b"PK\x03\x04 is not enough", "not a readable zip"),
        (b"\0\1\2", "binary"),
        (as_csv(rows(30)), "more than 20 rows"),
        (as_parquet(rows(30)), "more than 20 rows"),
        (as_zip(rows(30)), "more than 20 rows"),
        (as_json_lines(rows(30)), "more than 20 rows"),
        (b'cif,id\n"' + b"x" * 6_000_000 + b'",a\n', "breaks off"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(XtalforgeError) as caught:
        _read(tmp_path, content, max_rows=20 if b"salt" in content else MAX_ROWS)
    assert reason in caught.value.detail


def test_only_the_first_rows_are_looked_at() -> None:
    class Counted(io.BytesIO):
        n_read = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.n_read += len(content)
            return content

        read1 = read

    file = Counted(as_csv(rows(100)) + b"x,NaCl\n" * 1_000_000)
    look_at(file, LIMITS, MAX_ROWS)
    assert file.n_read < 2_000_000


def test_chunks_are_bounded_by_rows_and_by_text_and_always_cut_alike() -> None:
    given = [RawRow(i, str(i), RowKind.CIF, "x" * (100 if i % 7 == 0 else 1), "") for i in range(1, 200)]
    chunks = list(cut(given, 10, 150))
    assert [row for chunk in chunks for row in chunk.rows] == given
    assert all(len(chunk.rows) <= 10 and sum(len(row.text) for row in chunk.rows) <= 150 for chunk in chunks)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert chunks == list(cut(given, 10, 150))


def test_structures_as_objects_and_texts_as_bytes_are_read(tmp_path: Path) -> None:
    structure = {"lattice": {"matrix": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}, "sites": []}
    (row,) = _read(tmp_path, json.dumps({"structure": structure}).encode())
    assert row.kind is RowKind.JSON and json.loads(row.text) == structure
    sink = io.BytesIO()
    pq.write_table(pa.table({"composition": pa.array([b"NaCl"], pa.binary())}), sink)
    (row,) = _read(tmp_path, sink.getvalue())
    assert row.text == "NaCl"


def test_rows_left_half_way_end_in_silence_after_their_file() -> None:
    """Python's collector ends a file and what reads it in any order."""
    file = io.BytesIO(as_csv(rows(100)))
    lines = inputs._lines(file, "utf-8-sig")
    next(lines)
    file.close()
    lines.close()
