"""Every command that the README and the tutorials show is run, in their order, by a newcomer's shell."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.cli.main import app
from app.core.settings import PROJECT_ROOT
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from app.tutorials.pages import FILES, FOLDER, ORDER
from app.tutorials.routes import router
from app.web.problems import install_problem_handlers
from tests.documents import Shell, commands_of
from tests.e2e.conftest import Running, environment, running_up
from tests.forked import Forks

README = PROJECT_ROOT / "README.md"
TUTORIALS = [FOLDER / f"{name}.md" for name in ORDER]
DOCUMENTS = [README, *TUTORIALS]
SHIPPED = PROJECT_ROOT / "models_store"
ROWS = 60
"""So many of the 300 moduli: enough for every command, and quick."""

NOT_RUN = {
    "README.md": {
        "starts what the tests have started already, or the tests themselves": 2,
        "downloads gigabytes from another index": 1,
        "installs a package; tests/client runs the client": 1,
        "takes from minutes to hours": 3,
        "needs Docker": 3,
        "hours, and needs the folder of published data sets; tests/reproduction runs it on a few rows": 4,
    },
    "first-prediction.md": {"starts the service that the tests have started already": 1},
    "cluster.md": {
        "needs a PostgreSQL server and an S3 store, and the service stopped; tests/maintenance moves to real ones": 1,
        "needs Docker": 1,
        "the server of the example is not there": 2,
    },
}
"""How many commands of each document are not run, by their reasons."""


def test_what_is_not_run_is_known() -> None:
    found: dict[str, dict[str, int]] = {}
    for document in DOCUMENTS:
        for command in commands_of(document):
            if command.why_not is not None:
                reasons = found.setdefault(document.name, {})
                reasons[command.why_not] = reasons.get(command.why_not, 0) + 1
    assert found == NOT_RUN


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_text_exist(document: Path) -> None:
    root: Any = typer.main.get_command(app)
    named = re.findall(r"`xtalforge ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", " ".join(document.read_text().split()))
    assert named
    for words in named:
        first, _, second = words.partition(" ")
        command = root.get_command(click.Context(root), first)
        assert command is not None, f"xtalforge {first}"
        if second and isinstance(command, click.Group):
            assert command.get_command(click.Context(command), second) is not None, f"xtalforge {words}"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Running]:
    """With the shipped models. One for each test: a document that makes an API key closes the service to the others."""
    with running_up(tmp_path_factory.mktemp("documents"), SHIPPED, forks=forks) as running:
        yield running


@pytest.fixture
def shell(server: Running, xtalforge: Path, tmp_path: Path) -> Shell:
    """In a folder with the files that the documents speak of."""
    rows = (FILES / "bulk_moduli.csv").read_text().splitlines()[: ROWS + 1]
    (tmp_path / "moduli.csv").write_text("\n".join(rows))
    (tmp_path / "candidates.csv").write_text((FILES / "candidates.csv").read_text())
    pq.write_table(pa.table({"id": ["salt"], "cif": [NACL_CIF]}), tmp_path / "screening.parquet")
    (tmp_path / "NaCl.cif").write_text(NACL_CIF)
    (tmp_path / "POSCAR").write_text(DIAMOND_POSCAR)
    return Shell(tmp_path, server.url, environment(server.data_dir, SHIPPED), xtalforge)


def _run(shell: Shell, document: Path) -> None:
    commands = [command for command in commands_of(document) if command.why_not is None]
    assert commands
    for command in commands:
        try:
            shell.run(command.text)
        except AssertionError as error:
            raise AssertionError(f"{document.name}:{command.line}\n{error}") from None


def test_the_readme(shell: Shell) -> None:
    _run(shell, README)


def test_the_tutorials(shell: Shell) -> None:
    """One after the other: they build upon each other."""
    for document in TUTORIALS:
        _run(shell, document)
    series = (shell.folder / "series.csv").read_text().splitlines()
    assert len(series) > 1
    [job] = json.loads(shell.run("env -u XTALFORGE_URL xtalforge jobs list --kind fine-tuning --json"))
    test = job["result"]["metrics"]["test"]
    assert test["mae"] < 0.7 * test["mad"], "300 moduli should teach more than the mean"


def test_the_pages() -> None:
    pages = FastAPI()
    pages.include_router(router)
    install_problem_handlers(pages)
    with TestClient(pages) as client:
        index = client.get("/tutorials")
        assert index.status_code == 200 and "text/html" in index.headers["content-type"]
        for name in ORDER:
            assert f'href="/tutorials/{name}"' in index.text
            page = client.get(f"/tutorials/{name}")
            assert page.status_code == 200 and "not run" not in page.text and "<pre>" in page.text
            text = client.get(f"/tutorials/{name}", headers={"Accept": "text/markdown"}).text
            assert text == (FOLDER / f"{name}.md").read_text()
        assert client.get("/tutorials/files/bulk_moduli.csv").text.startswith("composition,k_vrh")
        for path in ("/tutorials/nope", "/tutorials/files/nope", "/tutorials/files/..%2Froutes.py"):
            assert client.get(path).status_code == 404
