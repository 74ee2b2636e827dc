"""POST /v1/predictions/upload: files, zips, and zips that mean no good."""

import io
import struct
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from tests.predictions.conftest import MAX_INPUTS
from tests.tiny_models import ENERGY_MODEL

URL = "/v1/predictions/upload"


def _zip(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _upload(client: TestClient, *files: tuple[str, bytes | str], **query: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(URL, files=[("files", file) for file in files], params=query)
    body: dict[str, Any] = answer.json()
    return answer.status_code, body


def test_files_are_named_by_their_file_name(client: TestClient) -> None:
    files = [("C:\\data\\nacl.cif", NACL_CIF), ("POSCAR", DIAMOND_POSCAR)]
    status, body = _upload(client, *files, models=[ENERGY_MODEL])
    assert status == 200
    assert [p["input_id"] for p in body["predictions"]] == ["nacl.cif", "POSCAR"]


def test_a_zip_gives_an_input_for_each_file(client: TestClient) -> None:
    content = _zip(
        {"a/nacl.cif": NACL_CIF, "a/si.vasp": DIAMOND_POSCAR, "__MACOSX/a": "x", ".DS_Store": "x", "r.txt": "?"}
    )
    status, body = _upload(client, ("set.zip", content), properties=["band_gap"])
    assert status == 200
    assert [p["input_id"] for p in body["predictions"]] == ["a/nacl.cif", "a/si.vasp"]
    assert [e["input_id"] for e in body["errors"]] == ["r.txt"]


@pytest.mark.parametrize(
    "content",
    [
        _zip({"../evil.cif": NACL_CIF}),
        _zip({"/etc/evil.cif": NACL_CIF}),
        _zip({"inner.zip": _zip({"a.cif": NACL_CIF})}),
        _zip({"bomb.cif": b"\0" * 5_000_000}),
        _zip({"a.cif": NACL_CIF})[:-30],
        _zip({"a.cif": NACL_CIF}).replace(b"Na1", b"Na2"),
        b"PK\x03\x04" + b"x" * 100,
        struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 2**31, 0, 0),
    ],
    ids=["parent", "absolute", "nested", "bomb", "cut", "corrupt", "garbage", "huge directory"],
)
def test_archives_that_cannot_be_trusted(client: TestClient, content: bytes) -> None:
    status, body = _upload(client, ("bad.zip", content))
    if body.get("code") != "invalid_archive":
        assert status == 200 and content.count(b"Na2") == 0
    status, body = _upload(client, ("bad.zip", content), ("good.cif", NACL_CIF))
    assert status == 200
    assert "good.cif" in {p["input_id"] for p in body["predictions"]}


def test_too_many_members(client: TestClient) -> None:
    content = _zip({f"{i}.cif": NACL_CIF for i in range(MAX_INPUTS + 1)})
    assert _upload(client, ("many.zip", content))[1]["code"] == "too_many_inputs"


def test_files_of_one_name_are_refused(client: TestClient) -> None:
    status, body = _upload(client, ("a/x.cif", NACL_CIF), ("b/x.cif", NACL_CIF))
    assert (status, body["code"]) == (422, "invalid_request") and "x.cif" in body["detail"]


@pytest.mark.parametrize("content", [b"", b"\0\1\2\3", b"\xff" * 100, b"hello"])
def test_what_is_no_structure(client: TestClient, content: bytes) -> None:
    status, body = _upload(client, ("x.cif", content))
    assert (status, body["code"]) == (422, "unparsable_structure")


def test_no_files(client: TestClient) -> None:
    answer = client.post(URL)
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_request"


def test_a_body_over_the_limit(client: TestClient) -> None:
    status, body = _upload(client, ("big.cif", b"x" * 1_100_000))
    assert (status, body["code"]) == (413, "payload_too_large")


def test_old_files_in_latin_1(client: TestClient) -> None:
    named = NACL_CIF.replace("data_NaCl\n", "data_NaCl\n_publ_author_name 'Müller'\n").encode("latin-1")
    assert _upload(client, ("old.cif", named))[0] == 200
