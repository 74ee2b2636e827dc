"""`xtalforge suggest`, as a user types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from tests.tiny_models import COMPOSITION_MODEL

TABLE = "id,formula\na,SrTiO3\nb,BaZrO3\nagain,Ti2Sr2O6\nc,KNbO3\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("suggest")


def run(folder: Path, models: Path, *arguments: str) -> Result:
    environment = {"XTALFORGE_DATA_DIR": str(folder / "data"), "XTALFORGE_MODELS_STORE": str(models)}
    return CliRunner().invoke(app, ["suggest", *arguments], env={**environment, "XTALFORGE_DEVICE": "cpu"})


def write(folder: Path, text: str) -> str:
    (folder / "candidates.csv").write_text(text)
    return str(folder / "candidates.csv")


def test_suggestions_as_json(folder: Path, tiny_models: Path) -> None:
    done = run(folder, tiny_models, write(folder, TABLE), "-m", COMPOSITION_MODEL, "--k", "2", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["strategy"] == "batch" and len(answer["suggestions"]) == 2 and answer["n_ranked"] == 3
    assert [each["input_id"] for each in answer["set_aside"]] == ["again"]


def test_suggestions_as_a_table_and_what_cannot_be_used(folder: Path, tiny_models: Path) -> None:
    file = write(folder, f"{TABLE}bad,Xx2\n")
    done = run(folder, tiny_models, file, "-m", COMPOSITION_MODEL, "--strategy", "target", "--above", "-100")
    assert done.exit_code == 3, done.output
    assert "above -100 eV/atom with a probability of 100%" in " ".join(done.stdout.split())
    assert "'Xx'" in done.stderr and "1 set aside" in done.stderr


def test_nothing_left_is_said(folder: Path, tiny_models: Path) -> None:
    """All of these are rows of the model's own data."""
    done = run(folder, tiny_models, write(folder, "id,formula\na,NaCl\nb,LiF\n"), "-m", COMPOSITION_MODEL)
    assert done.exit_code == 0 and done.stdout == ""
    assert "Nothing to suggest" in done.stderr and "2 set aside, the first: a" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["-m", "nope"], 4, "model_not_found"),
        (["-m", COMPOSITION_MODEL, "--strategy", "target"], 2, "goes with"),
        (["-m", COMPOSITION_MODEL, "--below", "1"], 2, "goes with"),
        (["-m", COMPOSITION_MODEL, "-k", "0"], 2, "equal to 1"),
        (["-m", COMPOSITION_MODEL, "--strategy", "target", "--above", "2", "--below", "1"], 4, "nothing lies above"),
        ([], 2, "--model"),
    ],
)
def test_refusals_are_a_sentence(
    folder: Path, tiny_models: Path, arguments: list[str], status: int, words: str
) -> None:
    done = run(folder, tiny_models, write(folder, TABLE), *arguments)
    assert done.exit_code == status and words in " ".join(done.stderr.split())


def test_rows_of_one_id_are_refused(folder: Path, tiny_models: Path) -> None:
    done = run(folder, tiny_models, write(folder, "id,formula\na,NaCl\na,KBr\n"), "-m", COMPOSITION_MODEL)
    assert done.exit_code == 4 and "unique" in done.stderr
