"""The files of the page as they are sent, on the whole application without models."""

import gzip
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import PROJECT_ROOT, Settings
from app.main import create_app

FOLDER = Path(str(resources.files("app.web"))) / "ui"
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), models_store=tmp_path_factory.mktemp("models"))
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_page_lets_in_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';") and "unsafe" not in policy and "http" not in policy
    assert answer.headers["cache-control"] == "no-cache"
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", answer.text)


def test_what_a_client_has_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/ui/js/main.js")
    assert first.headers["content-type"].split(";")[0] in {"text/javascript", "application/javascript"}
    again = client.get("/ui/js/main.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/ui/js/main.js", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.head("/ui/js/main.js").headers["etag"] == first.headers["etag"]


def test_texts_are_compressed_and_libraries_kept(client: TestClient) -> None:
    path = "vendor/3Dmol-2.5.5.min.js"
    with client.stream("GET", f"/ui/{path}", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip" and "immutable" in answer.headers["cache-control"]
    assert gzip.decompress(packed) == (FOLDER / path).read_bytes() and len(packed) < 200_000
    plain = client.get(f"/ui/{path}", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == (FOLDER / path).read_bytes()


@pytest.mark.parametrize("path", ["nothing.js", "../page.py", "%2e%2e/page.py", "", "js", "//etc/passwd"])
def test_nothing_but_these_files_is_sent(client: TestClient, path: str) -> None:
    answer = client.get(f"/ui/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_every_file_is_installed_and_used() -> None:
    patterns = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    assert [name for name in FILES if not any(Path(name).match(pattern) for pattern in patterns)] == []
    texts = {name: (FOLDER / name).read_text() for name in FILES if not name.startswith("vendor/")}
    texts["docs"] = (PROJECT_ROOT / "app/web/docs.py").read_text()
    for name in FILES:
        is_named = any(Path(name).name in text for other, text in texts.items() if other != name)
        assert is_named or name == "index.html" or name.endswith(".LICENSE.txt"), f"{name} is used nowhere"


def test_modules_import_what_is_there() -> None:
    for name in (each for each in FILES if each.startswith("js/")):
        for imported in re.findall(r'(?:from|import\() ?"(\.[^"]+)"|"(\./pages/[^"]+)"', (FOLDER / name).read_text()):
            target = (FOLDER / name).parent / next(each for each in imported if each)
            assert target.resolve().is_file(), f"{name} imports {target}"
