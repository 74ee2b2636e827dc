"""Every format gives the same rows; what is no data set is refused with the reason."""

import io
import json
import random
import zipfile

import pytest

from app.core.errors import DatasetInvalid
from app.core.settings import LimitSettings
from app.datasets.readers import read_dataset
from app.datasets.rows import RawTable, RowKind
from app.structures.limits import DEFAULT_LIMITS
from tests.datasets.tables import as_csv, as_json_lines, as_parquet, as_zip, compositions, records, rocksalts

LIMITS = LimitSettings()


def _read(content: bytes, property_key: str = "k_vrh", limits: LimitSettings = LIMITS) -> RawTable:
    return read_dataset(io.BytesIO(content), property_key, limits)


def _content(table: RawTable) -> list[tuple[str, str, float]]:
    assert all(row.problem is None for row in table.rows)
    return [(row.row_id, row.text.replace("\r\n", "\n"), float(row.label)) for row in table.rows]


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (as_csv(records()), "csv"),
        (as_csv(records(), delimiter=";"), "csv"),
        (as_csv(records(), delimiter="\t"), "csv"),
        (as_csv(records(), encoding="utf-8-sig"), "csv"),
        (as_csv(records(), encoding="utf-16"), "csv"),
        (as_json_lines(records()), "jsonl"),
        (as_parquet(records()), "parquet"),
        (as_zip(rocksalts()), "zip"),
        (as_zip(rocksalts(), folder="my data/root/"), "zip"),
        (as_zip(rocksalts(), header="id,k_vrh\n"), "zip"),
        (as_zip(rocksalts(), extra={"__MACOSX/._id_prop.csv": "x", "atom_init.json": "{}", ".DS_Store": ""}), "zip"),
    ],
)
def test_every_format_gives_the_same_rows(content: bytes, format_name: str) -> None:
    table = _read(content)
    assert table.format == format_name
    assert _content(table) == rocksalts()


def test_lines_are_those_where_a_row_begins() -> None:
    table = _read(b'id,cif,target\na,"data_x\n1\n2",1\n\nb,"data_y",2\n')
    assert [(row.line, row.row_id) for row in table.rows] == [(2, "a"), (6, "b")]


def test_rows_without_an_id_are_called_by_their_line() -> None:
    assert [row.row_id for row in _read(b"formula,target\nNaCl,1\nKCl,2\n").rows] == ["2", "3"]


def test_rows_that_cannot_be_taken_apart_are_kept_with_their_problem() -> None:
    rows = _read(b"formula,target\nNaCl,1,2\nKCl,2\n").rows
    assert rows[0].problem is not None
    assert rows[0].problem[0] == "malformed_row"
    assert rows[1].problem is None
    lines = _read(b'{"formula":"NaCl","target":1}\n{"formula"\n[1]\n').rows
    assert [row.problem is None for row in lines] == [True, False, False]


def test_structures_as_objects_are_json() -> None:
    rows = _read(json.dumps({"structure": {"sites": []}, "target": 1.5}).encode()).rows
    assert (rows[0].kind, rows[0].label) == (RowKind.JSON, "1.5")


@pytest.mark.parametrize(
    ("header", "input_column", "label_column"),
    [
        ("formula,k_vrh", "formula", "k_vrh"),
        ("Formula,K_VRH", "Formula", "K_VRH"),
        ("composition,target", "composition", "target"),
        ("formula,target,k_vrh", "formula", "k_vrh"),
        ("formula,K_VRH_GPa", "formula", "K_VRH_GPa"),
        ("formula,k_vrh_std,k_vrh_log10,k_vrh_gpa", "formula", "k_vrh_gpa"),
        ("formula,cif,target", "cif", "target"),
    ],
)
def test_columns_are_found_by_name(header: str, input_column: str, label_column: str) -> None:
    values = ",".join("1" for _ in header.split(","))
    table = _read(f"{header}\n{values}\n".encode())
    assert (table.input_column, table.label_column) == (input_column, label_column)


def test_a_label_column_of_another_property_is_not_taken() -> None:
    table = _read(b"formula,band_gap_gllbsc_eV,band_gap_pbe_eV\nNaCl,8,5\n", "band_gap")
    assert table.label_column == "band_gap_pbe_eV"
    assert "band_gap_pbe_eV" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"\x00\x01\x02", "binary"),
        (b"\x1f\x8b123456", "gzip"),
        (b"\xd0\xcf\x11\xe0abcd", "Excel"),
        (b"a,b\n1,2\n", "No column holds structures or compositions.*The file has: a, b"),
        (b"formula,b\nNaCl,2\n", "No column holds the labels: 'k_vrh' or 'target'"),
        (b"formula,log10_k_vrh\nNaCl,2\n", "No column holds the labels"),
        (b"formula,k_vrh_a,k_vrh_b\nNaCl,2,2\n", "Several columns may hold k_vrh"),
        (b"formula,Target,target\nNaCl,2,2\n", "Two columns are called"),
        (b'[{"formula":"NaCl"}]', "one object in each line"),
        (b",,\n,,\n", "No column holds structures or compositions"),
        (b"formula,k_vrh,k_vrh\nNaCl,2,3\n", "Two columns are called"),
        (b"mp-1,NaCl,24.5\n", "The first line must hold the names"),
        (b"formula,k_vrh\n" + b"\n" * 100_002, "more than 100,000 empty lines"),
        (b'{"formula": "NaCl"}\n' + b"\n" * 100_002, "more than 100,000 empty lines"),
        (b"{}\n" * 100_001, "more than 100,000 rows"),
        (b'{"formula": ' * 10, "no JSON object in a line. Line 1: The line is not valid JSON"),
        (b'{"formula": ' * 100_000, "Line 1: The line is nested too deeply"),
        (b'{"k_vrh": ' + b"9" * 5000 + b"}", "a number with too many digits"),
        (b"formula," + b"x" * 6_000_000, "field larger than field limit"),
        (b'{"\\ud800": 1}', r"The file has: \?"),
        (b"PAR1 and no more", "Parquet file cannot be read"),
        (b"PK\x03\x04 and no more", "not a readable zip file"),
        (as_zip([])[:-30], "not a readable zip file"),
    ],
)
def test_what_is_no_data_set_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DatasetInvalid, match=reason):
        _read(content)


def test_more_rows_than_allowed_are_refused() -> None:
    limits = LimitSettings(max_dataset_rows=10)
    for content in (as_csv(records()), as_json_lines(records()), as_parquet(records()), as_zip(rocksalts())):
        with pytest.raises(DatasetInvalid, match="more than 10 rows"):
            _read(content, limits=limits)


def _zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_every_end_of_line_is_understood() -> None:
    content = as_csv(compositions(3)).replace(b"\r\n", b"\n")
    for end in (b"\n", b"\r\n", b"\r"):
        assert _content(_read(content.replace(b"\n", end))) == _content(_read(content))
    assert [row.line for row in _read(b"\n\n" + content).rows] == [4, 5, 6]


def test_text_that_no_file_can_hold_fails_its_row_alone() -> None:
    lines = b'{"id": "a\\ud800\\u0000", "formula": "NaCl", "k_vrh": 24}\n{"formula": "\\ud800", "k_vrh": 24}\n'
    first, second = _read(lines).rows
    assert (first.row_id, first.problem) == ("a??", None)
    assert second.problem is not None and second.problem[0] == "malformed_row"


def test_text_stored_as_bytes_is_text() -> None:
    rows = _read(as_parquet([{"formula": b"NaCl", "k_vrh": 24.5}])).rows
    assert rows[0].text == "NaCl"


def test_the_table_of_a_zip_is_read_leniently() -> None:
    files = {"a.cif": b"data_a", "b.cif": b"data_b"}
    for table in (b"a,1\nb,2\n", b"a;1\nb;2\n", b"a.cif,1\nb.cif,2\n", b"id,k\na,1\nb,2\n"):
        assert [(row.text, row.label) for row in _read(_zip_of({"id_prop.csv": table, **files})).rows] == [
            ("data_a", "1"),
            ("data_b", "2"),
        ]


def test_a_table_longer_than_a_structure_may_be_is_read_whole() -> None:
    table = b"".join(b"%s%d,1\n" % (b"x" * 60, i) for i in range(90_000))
    assert len(table) > DEFAULT_LIMITS.max_bytes
    assert len(_read(_zip_of({"id_prop.csv": table})).rows) == 90_000


def test_zips_are_bounded() -> None:
    table = b"a,1\n"
    with pytest.raises(DatasetInvalid, match=r"no id_prop\.csv"):
        _read(_zip_of({"a.cif": b"data_a"}))
    with pytest.raises(DatasetInvalid, match=r"2 files id_prop\.csv"):
        _read(_zip_of({"x/id_prop.csv": table, "y/id_prop.csv": table}))
    with pytest.raises(DatasetInvalid, match="Two structure files"):
        _read(_zip_of({"id_prop.csv": table, "a.cif": b"data_a", "x/a.cif": b"data_a"}))
    with pytest.raises(DatasetInvalid, match="grows more than 200 times"):
        _read(_zip_of({"id_prop.csv": table, "a.cif": b"0" * 10_000_000}))
    noise = random.Random(1).randbytes(100)
    many = {f"{index}.cif": noise for index in range(20)}
    with pytest.raises(DatasetInvalid, match="more than 20 files"):
        _read(_zip_of({"id_prop.csv": table, **many}), limits=LimitSettings(max_archive_members=20))
    with pytest.raises(DatasetInvalid, match="opens to more than 2,000 bytes"):
        _read(_zip_of({"id_prop.csv": table, **many}), limits=LimitSettings(max_inflated_bytes=2000))


def test_rows_and_files_of_a_zip_that_do_not_match() -> None:
    table_text = "".join(f"{row_id},1\n" for row_id in ("a", "b", "a", "absent"))
    members = {"id_prop.csv": table_text.encode(), **{f"{name}.cif": b"data_x" for name in ("a", "b", "spare")}}
    table = _read(_zip_of(members))
    assert [row.problem[0] for row in table.rows if row.problem] == ["duplicate_id", "missing_file"]
    assert any("1 structure files are not named" in note for note in table.notes)


def test_compositions_are_read_as_such() -> None:
    table = _read(as_csv(compositions()))
    assert {row.kind for row in table.rows} == {RowKind.COMPOSITION}
