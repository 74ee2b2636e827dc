"""What is committed is what the code says: the OpenAPI document, the client's models and its sync half, its routes."""

import ast
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

import xtalforge_client
from app.cli.main import app as cli
from app.core.settings import PROJECT_ROOT, Settings
from app.main import create_app
from xtalforge_client import Client, RetryPolicy, ServerError
from xtalforge_client._sync.jobs import Jobs

PACKAGE = Path(xtalforge_client.__file__).parent
DOCUMENT = PROJECT_ROOT / "app/web/openapi.json"
AGAIN = "run `make openapi` and commit what it writes"
NOT_OF_THE_CLIENT: set[tuple[str, str]] = set()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def test_the_committed_document_is_that_of_the_application(document: dict[str, Any]) -> None:
    committed = json.loads(DOCUMENT.read_text())
    assert list(committed["paths"]) == list(document["paths"]), AGAIN
    for path, operations in document["paths"].items():
        assert committed["paths"][path] == operations, f"{path}: {AGAIN}"
    assert committed == document, AGAIN


def test_the_command_writes_the_document(document: dict[str, Any], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["openapi", "--output", str(tmp_path / "openapi.json")])
    assert result.exit_code == 0 and json.loads((tmp_path / "openapi.json").read_text()) == document
    assert json.loads(CliRunner().invoke(cli, ["openapi"]).stdout) == document


def test_derived_files_are_those_of_the_document() -> None:
    specification = importlib.util.spec_from_file_location("generate", PROJECT_ROOT / "app/client/generate.py")
    assert specification and specification.loader
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    for path, code in generate.derived_files().items():
        assert path.read_text() == code, f"{path.name}: {AGAIN}"
    assert {path.name for path in (PACKAGE / "_sync").glob("*.py")} == {
        path.name for path in (PACKAGE / "_async").glob("*.py")
    }


def test_the_package_imports_nothing_but_httpx_and_pydantic() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); before = set(sys.modules); import xtalforge_client; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run([sys.executable, "-S", "-c", _with_site(code)], capture_output=True, text=True, check=True)
    heavy = {"app", "workers", "torch", "numpy", "pandas", "ase", "pymatgen", "sklearn", "fastapi", "tqdm"}
    assert not heavy & set(loaded.stdout.split())
    top = {node.names[0].name.partition(".")[0] for node in _imports() if isinstance(node, ast.Import)}
    top |= {(node.module or "").partition(".")[0] for node in _imports() if isinstance(node, ast.ImportFrom)}
    foreign = top - set(sys.stdlib_module_names)
    assert foreign <= {"xtalforge_client", "httpx", "pydantic"}


def test_every_route_is_reached(document: dict[str, Any]) -> None:
    """Each public method is called, and what it asks for is matched with the document."""
    asked: set[tuple[str, str]] = set()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.add((request.method, request.url.path))
        return httpx.Response(400, json={"code": "enough"})

    with Client("http://there", retry=RetryPolicy(attempts=1), transport=httpx.MockTransport(answer)) as client:
        for owner, method in _methods(client):
            _call(method, owner)
    described = {(m.upper(), path) for path, operations in document["paths"].items() for m in operations}
    reached = {(method, _template(path, {t for m, t in described if m == method})) for method, path in asked}
    assert described - reached == NOT_OF_THE_CLIENT
    assert reached <= described


def _methods(client: Client) -> Iterator[tuple[object, Any]]:
    parts = [each for name, each in vars(client).items() if not name.startswith("_")]
    for owner in (client, *parts):
        for name, method in inspect.getmembers(owner, inspect.ismethod):
            if not name.startswith("_") and name not in ("close", "predict_frame"):
                yield owner, method


def _call(method: Any, owner: object) -> None:
    """With an argument for each parameter without a default; whatever it answers is not looked at."""
    made = {"file": ("a.csv", b"x"), "source": ("a.csv", b"x"), "materials": "NaCl", "files": [], "target": Path("x")}
    required = [
        p for p in inspect.signature(method).parameters.values() if p.default is p.empty and p.kind < p.VAR_POSITIONAL
    ]
    arguments = {p.name: made.get(p.name, 1 if p.name == "version" else p.name) for p in required}
    if method.__name__ == "events" and isinstance(owner, Jobs):
        arguments["follow"] = False
    try:
        result = method(**arguments)
        if inspect.isgenerator(result):
            list(result)
    except ServerError:
        return


def _template(path: str, templates: set[str]) -> str:
    """The template that a path was made from, the one with the fewest parameters if several fit."""
    fitting = [t for t in templates if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", t), path)]
    return min(fitting, key=lambda t: t.count("{"), default=f"no route: {path}")


def _imports() -> Iterator[ast.AST]:
    for path in PACKAGE.rglob("*.py"):
        if path.stem in ("ase", "sklearn"):
            continue
        yield from (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom))


def _with_site(code: str) -> str:
    return f"import site; site.main(); {code}"
