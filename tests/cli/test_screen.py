"""`xtalforge screen` as a user types it."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.cli.output import EXIT_REFUSED, EXIT_STOPPED
from app.structures.detect import StructureFormat
from app.structures.reader import read_structure
from tests.e2e.conftest import environment
from tests.tiny_models import COMPOSITION_MODEL
from tests.workers.conftest import wait_until

Run = Callable[..., tuple[int, str, str]]


def _start(folder: Path, models: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "screen", *arguments], cwd=folder,
        env={**environment(folder / "data", models), "COLUMNS": "200"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        # A shell that runs the tests in the background would have them ignore Ctrl-C, and this command with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.fixture
def run(xtalforge: Path, folder: Path, tiny_models: Path) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [xtalforge, "screen", *arguments], cwd=folder,
            env={**environment(folder / "data", tiny_models), "COLUMNS": "200"}, capture_output=True, text=True,
            timeout=180,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, " ".join(done.stderr.split())

    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screen")


SALTS = ("--prototype", "rocksalt", "--site", "A=Li,Na,K,Mg,Ca,Sr", "--site", "X=F,Cl,O,S", "--any-domain")


def test_made_candidates_are_sieved_ranked_and_written_with_their_structures(run: Run, folder: Path) -> None:
    code, output, error = run(
        *SALTS, "--where", "band_gap=0.5..", "--minimise", "formation_energy_per_atom",
        "--min-probability", "0", "--without", "Sr", "-k", "5", "-o", "salts.csv", "--cifs", "salts.zip", "--json",
    )  # fmt: skip
    assert code == 0, error
    answer = json.loads(output)
    assert answer["counts"] | {"selected": 0, "not_selected": 0} == {
        "candidates": 10, "selected": 0, "not_selected": 0, "failed_constraints": 0, "out_of_domain": 0, "filtered": 0,
        "errors": 0,
    }  # fmt: skip
    lines = list(csv.DictReader(io.StringIO((folder / "salts.csv").read_text())))
    assert [line["rank"] for line in lines] == ["1", "2", "3", "4", "5"]
    energies = [float(line["formation_energy_per_atom expected [eV/atom]"]) for line in lines]
    assert energies == sorted(energies)
    assert [line["input_id"] for line in lines] == [each["input_id"] for each in answer["selected"]]
    with zipfile.ZipFile(folder / "salts.zip") as archive:
        names = archive.namelist()
        first = read_structure(archive.read(names[0]).decode(), StructureFormat.CIF)
    assert names[0] == f"00001_{lines[0]['input_id']}.cif" and first.reduced_formula == lines[0]["formula"]
    assert not (folder / "salts.csv.parts").exists()


def test_a_file_of_formulas_with_a_bad_one_ends_with_3_and_tells_of_all(run: Run, folder: Path) -> None:
    (folder / "formulas.csv").write_text("id,formula\na,NaCl\nb,Xx\nc,PbO\n")
    command = ("formulas.csv", "-p", "formation_energy_per_atom", "-m", COMPOSITION_MODEL, "--any-domain")
    code, output, error = run(*command, "--without", "Pb", "--all", "-o", "f.parquet")
    assert code == 3 and "ClNa" in output and "3 candidates: 1 selected, 1 filtered, 1 errors" in error
    lines = pq.read_table(folder / "f.parquet").to_pylist()
    assert [(line["input_id"], line["status"]) for line in lines] == [
        ("a", "selected"), ("b", "error"), ("c", "filtered"),
    ]  # fmt: skip
    request = {"candidates": [{"composition": "NaCl"}], "objectives": [], "in_domain": False}
    wanted = {"constraints": [{"property": "formation_energy_per_atom", "at_most": -99}]}
    (folder / "request.json").write_text(json.dumps({**request, **wanted}))
    code, _, error = run("--request", "request.json", "-o", "none.csv")
    assert code == 1 and "nothing_selected" in error and (folder / "none.csv").read_text().startswith("rank,")


def test_stopped_with_ctrl_c_the_same_command_goes_on(run: Run, folder: Path, tiny_models: Path) -> None:
    command = ("--prototype", "perovskite", "--site", "X=O", "--any-domain", "-p", "band_gap", "-o", "p.jsonl")
    process = _start(folder, tiny_models, *command, "--processes", "1")
    parts = folder / "p.jsonl.parts" / "parts"
    wait_until(lambda: list(parts.glob("*.parquet")), "the first part", 120)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == EXIT_STOPPED and "Traceback" not in error and not (folder / "p.jsonl").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    other = run("--prototype", "spinel", "-p", "band_gap", "-o", "p.jsonl")
    assert other[0] == EXIT_REFUSED and "unfinished_run" in other[2]
    assert {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")} == kept
    code, _, error = run(*command, "--processes", "1")
    assert code == 0, error
    assert len((folder / "p.jsonl").read_text().splitlines()) == 100


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), EXIT_REFUSED, "nothing is looked for"),
        (("--prototype", "magic", "-p", "band_gap"), EXIT_REFUSED, "should be 'rocksalt'"),
        (("--prototype", "rocksalt", "--where", "band_gap"), 2, "has no '='"),
        (("--prototype", "rocksalt", "--where", "band_gap=a..b"), 2, "no number"),
        (("--prototype", "rocksalt", "--mix", "NaCl", "-p", "band_gap"), 2, "three ways"),
        (("--prototype", "rocksalt", "-p", "band_gap", "-o", "x.txt"), 2, "must end with"),
        (("--prototype", "rocksalt", "-p", "k_vrh"), EXIT_REFUSED, "model_not_found"),
        (("--mix", "NaCl", "--mix", "KCl", "-p", "band_gap"), EXIT_REFUSED, "input_kind_mismatch"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    tmp_path: Path,
    tiny_models: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    monkeypatch.setenv("XTALFORGE_MODELS_STORE", str(tiny_models))
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["screen", *arguments, "--data-dir", str(tmp_path / "data")])
    assert found.exit_code == code and words in " ".join(found.stderr.split()), found.stderr
    assert not (tmp_path / "screened.csv.parts").exists()
