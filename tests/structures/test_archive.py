"""Zips are read within bounds, whatever they declare."""

import io
import struct
import zipfile
from collections.abc import Mapping

import pytest

from app.core.errors import InvalidArchive
from app.core.settings import LimitSettings
from app.structures.archive import open_archive
from app.structures.limits import DEFAULT_LIMITS

LIMITS = LimitSettings(max_archive_members=50)
MAX_TOTAL_BYTES = 1_000_000


def zipped(members: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read_all(content: bytes, max_total_bytes: int = MAX_TOTAL_BYTES) -> dict[str, bytes]:
    with open_archive(io.BytesIO(content), "z.zip", LIMITS, max_total_bytes) as archive:
        return {member: archive.read(member) for member in archive.members}


def encrypted() -> bytes:
    content = bytearray(zipped({"a.cif": "x"}))
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def symbolic_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.cif")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def zip64_with_a_small_lie() -> bytes:
    """The old end record declares a short list of members; the zip64 record beside it, which counts, a huge one."""
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**40, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 0, 1)
    return record + locator + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0, 0)


def test_members_are_files_only_in_order() -> None:
    content = zipped({"b/": "", "b/x.cif": "1", ".DS_Store": "x", "__MACOSX/y": "x", "b\\.hidden": "x", "a.cif": "2"})
    assert read_all(content) == {"b/x.cif": b"1", "a.cif": b"2"}


def test_a_file_without_a_name_is_passed_over() -> None:
    content = zipped({"x": "1", "a.cif": "2"}, zipfile.ZIP_STORED)
    directory = content.find(b"PK\x01\x02")
    nameless = content[: directory + 46] + b"\0" + content[directory + 47 :]
    assert read_all(nameless) == {"a.cif": b"2"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (zipped({"../a.cif": "x"}), "unsafe path"),
        (zipped({"..\\a.cif": "x"}), "unsafe path"),
        (zipped({"/etc/a.cif": "x"}), "unsafe path"),
        (symbolic_link(), "unsafe path"),
        (encrypted(), "password"),
        (zipped({"a.cif": b"\0" * 900_000}), "grows more than 200 times"),
        (zipped({f"{i}.cif": bytes(300_000) for i in range(4)}, zipfile.ZIP_STORED), "opens to more than 1,000,000"),
        (zipped({f"{i}.cif": "x" for i in range(51)}), "more than 50 files"),
        (struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**31, 0, 0), "more than 50 files"),
        (zip64_with_a_small_lie(), "more than 50 files"),
        (zipped({"a.cif": "x"})[:-30], "not a readable zip"),
        (b"PK\x03\x04", "not a readable zip"),
        (zipped({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}), "Excel"),
    ],
    ids=[
        "parent", "backslash parent", "absolute", "link", "encrypted", "bomb", "sum", "many", "huge list", "zip64 list",
        "cut", "magic only", "workbook",
    ],
)  # fmt: skip
def test_what_means_no_good_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidArchive, match=reason):
        read_all(content)


def test_a_member_is_cut_one_byte_after_the_largest_text() -> None:
    content = zipped({"a.cif": bytes(DEFAULT_LIMITS.max_bytes + 1000)}, zipfile.ZIP_STORED)
    assert len(read_all(content, 10 * DEFAULT_LIMITS.max_bytes)["a.cif"]) == DEFAULT_LIMITS.max_bytes + 1


def test_a_size_that_lies_gives_no_more_than_was_agreed() -> None:
    content = bytearray(zipped({"a.cif": b"x" * 90_000, "b.cif": "fine"}))
    directory = content.find(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    with open_archive(io.BytesIO(bytes(content)), "z.zip", LIMITS, MAX_TOTAL_BYTES) as archive:
        with pytest.raises(InvalidArchive, match=r"'a.cif' in z.zip is damaged"):
            archive.read("a.cif")
        assert archive.read("b.cif") == b"fine"
