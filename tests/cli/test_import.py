"""`xtalforge import` as a user types it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.predictions.examples import NACL_CIF
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, WEIGHTS_FILE
from tests.e2e.conftest import environment
from tests.learning.original_network import checkpoint, random_network, saved
from tests.tiny_models import ENERGY_MODEL

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("import")
    (folder / "nacl.cif").write_text(NACL_CIF)
    (folder / "moduli.pth.tar").write_bytes(saved(checkpoint(random_network())))
    (folder / "mine.pth.tar").write_bytes(saved(checkpoint(random_network(1), args={})))
    (folder / "classes.pth.tar").write_bytes(saved(checkpoint(random_network(), args={"task": "classification"})))
    (folder / "notes.pth.tar").write_text("no checkpoint")
    return folder


@pytest.fixture(scope="module")
def run(xtalforge: Path, folder: Path, tiny_models: Path) -> Command:
    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [xtalforge, *arguments], cwd=folder, env={**environment(folder / "data", tiny_models), "COLUMNS": "200"},
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return command


def test_an_imported_model_predicts(run: Command) -> None:
    done = run("import", "moduli.pth.tar", "--name", "old-moduli", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)[0]
    assert (row["model"], row["property"], row["unit"], row["outcome"]) == (
        "old-moduli/1",
        "k_vrh",
        "GPa",
        "registered",
    )
    answer = json.loads(run("predict", "nacl.cif", "-m", "old-moduli", "--json").stdout)["predictions"][0]
    assert answer["model"]["sha256"] == row["sha256"]
    assert answer["domain"] is None, "which elements it saw is not known"
    again = run("import", "moduli.pth.tar", "--name", "old-moduli")
    assert again.returncode == 0 and "old-moduli/1" in again.stdout and "was there already" in again.stdout
    listed = {model["name"]: model for model in json.loads(run("models", "list", "--json").stdout)}
    assert (listed["old-moduli"]["source"], listed["old-moduli"]["test_mae"]) == ("import", None)
    assert "Not measured" in run("models", "show", "old-moduli").stdout


def test_another_property_or_scale_is_another_model(run: Command) -> None:
    property_of_mine = ("import", "mine.pth.tar", "-n", "hardness", "-p", "hardness", "--unit", "GPa")
    assert json.loads(run(*property_of_mine, "--json").stdout)[0]["model"] == "hardness/1"
    on_another_scale = run(*property_of_mine, "--transform", "log10", "--json")
    assert json.loads(on_another_scale.stdout)[0]["model"] == "hardness/2"
    clash = run("import", "mine.pth.tar", "-n", ENERGY_MODEL, "-p", "k_vrh")
    assert clash.returncode == 1 and "Choose another name" in " ".join(clash.stderr.split())


def test_a_folder_instead_of_the_registry(run: Command, folder: Path) -> None:
    command = ("import", "moduli.pth.tar", "-n", "elsewhere", "--output", "out")
    assert run(*command).returncode == 0
    written = {path.name for path in (folder / "out" / "elsewhere" / "1").iterdir()}
    assert written == {MANIFEST_FILE, WEIGHTS_FILE, CARD_FILE}
    again = run(*command)
    assert again.returncode == 1 and "is there already" in again.stderr
    assert "elsewhere" not in run("models", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["classes.pth.tar", "-n", "x"], 1, "tells classes apart"),
        (["notes.pth.tar", "-n", "x"], 1, "cannot be read"),
        (["moduli.pth.tar"], 1, "give the model a name"),
        (["mine.pth.tar", "-n", "x"], 1, "say which one"),
        (["moduli.pth.tar", "-n", "../x", "-o", "out"], 4, "is not a model name"),
        (["moduli.pth.tar", "mine.pth.tar", "-n", "x"], 2, "several files"),
        (["moduli.pth.tar", "-n", "x", "--unit", "GPa"], 2, "--property"),
    ],
)
def test_refusals_are_a_sentence_and_leave_nothing(
    run: Command, folder: Path, arguments: list[str], status: int, reason: str
) -> None:
    done = run("import", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert reason in " ".join(done.stderr.split())
    assert not (folder / "out" / "x").exists() and not (folder / "x").exists()


def test_what_can_be_imported_is_beside_what_cannot(run: Command, data_kit: Path) -> None:
    files = [str(data_kit / "cgcnn_published" / f"{name}.pth.tar") for name in ("semi-metal-classification", "efermi")]
    done = run("import", *files, "--json")
    assert done.returncode == 3 and "metals from semiconductors" in " ".join(done.stderr.split())
    assert [row["model"] for row in json.loads(done.stdout)] == ["xie-grossman-fermi-energy/1"]
