"""The commands that need no server, as a user types them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.settings import PROJECT_ROOT
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF
from tests.e2e.conftest import environment
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, salts
from tests.workers.conftest import poscar

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "nacl.cif").write_text(NACL_CIF)
    (folder / "POSCAR").write_text(DIAMOND_POSCAR)
    (folder / "bad.cif").write_text("hello")
    rows = [json.dumps({"poscar": poscar(c), "k_vrh": 40 + 5 * i}) for i, c in enumerate(salts())]
    (folder / "salts.jsonl").write_text("\n".join(rows))
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


def test_predictions_as_a_table(run: Command) -> None:
    done = run("predict", "nacl.cif", "-c", "SrTiO3")
    assert done.returncode == 0, done.stderr
    assert "eV/atom" in done.stdout and "nacl.cif" in done.stdout and f"{COMPOSITION_MODEL}/1" in done.stdout


def test_predictions_as_json_with_what_failed(run: Command) -> None:
    done = run("predict", "nacl.cif", "bad.cif", "--property", "band_gap", "--json")
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert len(answer["predictions"]) == 1 and answer["errors"][0]["code"] == "unparsable_structure"


def test_predictions_as_csv(run: Command) -> None:
    done = run("predict", "nacl.cif", "POSCAR", "-m", ENERGY_MODEL, "--csv")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 3
    assert lines[0].startswith("input_id,property,value,lower,upper,unit,model,version,in_domain,domain_score")
    value, lower, upper = (float(cell) for cell in lines[1].split(",")[2:5])
    assert lower <= value <= upper


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["predict", "bad.cif"], 1, "unparsable_structure"),
        (["predict", "nacl.cif", "-m", "nope"], 4, "model_not_found"),
        (["predict"], 2, "give structure files"),
        (["predict", "missing.cif"], 2, "does not exist"),
        (["models", "show", "nope"], 4, "model_not_found"),
        (["datasets", "validate", "bad.cif", "-p", "k_vrh"], 4, "dataset_invalid"),
        (["datasets", "validate", "salts.jsonl", "-p", "colour"], 4, "property_not_found"),
        (["fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "x", "--server", "http://127.0.0.1:9"], 5, "unreachable"),
        (["fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", ENERGY_MODEL], 4, "invalid_job"),
        (["fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "No Spaces"], 4, "model_name"),
        (["jobs", "show", "job_0"], 4, "job_not_found"),
        (["webhooks", "add", "http://10.0.0.1/hook"], 4, "webhook_refused"),
        (["models", "promote", "nope"], 2, "NAME/VERSION"),
    ],
)
def test_errors_are_a_sentence(run: Command, arguments: list[str], status: int, reason: str) -> None:
    done = run(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert reason in " ".join(done.stderr.split())


def test_models(run: Command, folder: Path) -> None:
    listed = json.loads(run("models", "list", "--json").stdout)
    assert {model["name"] for model in listed} >= {ENERGY_MODEL, COMPOSITION_MODEL}
    assert ENERGY_MODEL in run("models", "list").stdout
    assert run("models", "show", ENERGY_MODEL).stdout.startswith(f"# {ENERGY_MODEL}")
    assert json.loads(run("models", "show", ENERGY_MODEL, "--json").stdout)["manifest"]["architecture"] == "cgcnn"
    assert run("models", "download", ENERGY_MODEL, "-o", "out").returncode == 0
    written = {path.name for path in (folder / "out" / ENERGY_MODEL / "1").iterdir()}
    assert written == {"manifest.json", "weights.safetensors", "trust.safetensors", "MODEL_CARD.md"}
    assert run("models", "download", ENERGY_MODEL, "-o", "out").returncode == 1


def test_a_data_set_is_checked(run: Command, folder: Path) -> None:
    done = run("datasets", "validate", "salts.jsonl", "--property", "k_vrh", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["n_usable"] == len(salts())
    assert "usable" in run("datasets", "validate", "salts.jsonl", "--property", "k_vrh").stdout
    lines = "".join(json.dumps({"formula": f"Na{n}Cl", "k_vrh": 20}) + "\n" for n in range(1, 31))
    (folder / "equal.jsonl").write_text(lines)
    refused = run("datasets", "validate", "equal.jsonl", "--property", "k_vrh")
    assert refused.returncode == 1 and "An upload is refused: All labels are 20 GPa" in " ".join(refused.stdout.split())


def test_the_schema(run: Command) -> None:
    assert run("db", "upgrade").returncode == 0
    assert json.loads(run("db", "current", "--json").stdout)["is_at_head"] is True
    assert json.loads(run("db", "check", "--json").stdout) == {"agree": True}


def test_fine_tuning_here(run: Command) -> None:
    done = run("fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "mine", "--max-epochs", "2", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert job["status"] == "succeeded" and job["base_model"]["name"] == ENERGY_MODEL
    predicted = json.loads(run("predict", "nacl.cif", "-m", "mine", "--json").stdout)["predictions"][0]
    assert predicted["unit"] == "GPa" and predicted["model"]["version"] == 1


def test_a_baseline_here_answers_one_by_one_and_in_bulk(run: Command, folder: Path) -> None:
    arguments = ("fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "line", "--method", "lasso")
    done = run(*arguments, "--set", "n_folds=2", "--set", "split=random", "--json")
    assert done.returncode == 0, done.stderr
    job = json.loads(done.stdout)
    assert (job["status"], job["architecture"], job["base_model"]) == ("succeeded", "baseline", None)
    assert (job["hyperparameters"]["n_folds"], job["progress"]) == (2, None)
    assert job["search"]["total"] >= 1
    predicted = json.loads(run("predict", "nacl.cif", "-c", "NaCl", "-m", "line", "--json").stdout)["predictions"]
    assert len(predicted) == 2 and predicted[0]["value"] == predicted[1]["value"]
    report = run("report", job["id"], "--page", "report.html", "--json")
    assert json.loads(report.stdout)["metrics"] == job["result"]["metrics"]
    assert "line/1" in (folder / "report.html").read_text() and "line/1" in run("report", job["id"]).stdout
    assert run("report", job["id"], "--page", "nowhere/report.html").returncode == 1
    (folder / "formulas.csv").write_text("composition\nNaCl\n")
    done = run("predict-bulk", "formulas.csv", "-m", "line", "-o", "bulk.csv")
    assert done.returncode == 0, done.stderr
    assert "k_vrh" in (folder / "bulk.csv").read_text()


def test_a_baseline_on_bonds_reads_structures(run: Command) -> None:
    arguments = ("fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "bonds", "--method", "svr", "--set", "n_folds=2")
    done = run(*arguments, "--set", "features=bonding", "--set", "split=random", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["hyperparameters"]["features"] == "bonding"
    answer = json.loads(run("predict", "nacl.cif", "-c", "NaCl", "-m", "bonds", "--json").stdout)
    assert [len(answer["predictions"]), len(answer["errors"])] == [1, 1]
    assert answer["errors"][0]["code"] == "input_kind_mismatch"


@pytest.mark.parametrize(
    ("given", "reason"),
    [("layer", "NAME=VALUE"), ("layer=0", "greater than or equal to 1"), ("speed=9", "speed"), ("loss=mae", "not use")],
)
def test_wrong_hyperparameters_are_named(run: Command, given: str, reason: str) -> None:
    done = run("fine-tune", "salts.jsonl", "-p", "k_vrh", "-n", "x", "--method", "lasso", "--set", given)
    assert done.returncode != 0 and reason in " ".join(done.stderr.split())


def test_wrong_settings_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "db", "upgrade"],
        cwd=PROJECT_ROOT,
        env={"XTALFORGE_DATABASE_URL": "mysql://x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "database_url" in done.stderr and "Traceback" not in done.stderr


def test_a_request_that_cannot_be_made_stores_no_data_set(run: Command, folder: Path) -> None:
    stored = sorted((folder / "data").rglob("*.parquet"))
    done = run("fine-tune", "salts.jsonl", "--property", "g_vrh", "--name", "Bad Name")
    assert done.returncode == 4 and "invalid_request" in done.stderr and "'Bad Name' is not a name" in done.stderr
    assert sorted((folder / "data").rglob("*.parquet")) == stored


def test_what_needs_no_server_is_done_here(run: Command) -> None:
    """The commands that ask a server ask this installation without one."""
    stored = json.loads(run("datasets", "upload", "salts.jsonl", "-p", "k_vrh", "--json").stdout)
    assert stored["id"] in run("datasets", "list").stdout
    hook = json.loads(run("webhooks", "add", "https://hooks.example.org/x", "--json").stdout)
    listed = run("webhooks", "list").stdout
    assert hook["id"] in listed and hook["secret"] not in listed
    assert json.loads(run("models", "versions", ENERGY_MODEL, "--json").stdout)[0]["version"] == 1
    assert "k_vrh" in run("properties").stdout


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o default"), ("zsh", "#compdef"), ("fish", "complete")]
)
def test_shells_complete_commands(run: Command, shell: str, mark: str) -> None:
    """`xtalforge --install-completion` puts this into the shell's start file."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "_XTALFORGE_COMPLETE": f"source_{shell}"}
    program = [sys.executable, "-c", "from app.cli.main import app; app(prog_name='xtalforge')"]
    script = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)
    assert mark in script.stdout and "_XTALFORGE_COMPLETE" in script.stdout
    if shell == "bash":
        asked = {"_XTALFORGE_COMPLETE": "complete_bash", "COMP_WORDS": "xtalforge webh", "COMP_CWORD": "1"}
        offered = subprocess.run(program, env={**environment, **asked}, capture_output=True, text=True, timeout=60)
        assert offered.stdout.split() == ["webhooks"]
