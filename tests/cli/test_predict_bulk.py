"""`xtalforge predict-bulk` as a user types it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.bulk.chunks import CHUNK_ROWS
from app.cli.output import EXIT_REFUSED, EXIT_STOPPED, EXIT_UNREACHABLE
from tests.bulk.tables import as_csv, rows
from tests.e2e.conftest import environment
from tests.tiny_models import COMPOSITION_MODEL, GAP_MODEL
from tests.workers.conftest import wait_until

Run = Callable[..., tuple[int, str]]

N_CHUNKS = 6
N_ROWS = N_CHUNKS * CHUNK_ROWS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "rows.csv").write_bytes(as_csv(rows(N_ROWS)))
    (folder / "formulas.jsonl").write_text('{"id": "a", "composition": "NaCl"}\n{"id": "b", "composition": "Xx"}\n')
    (folder / "bad.csv").write_text("a,b\n1,2\n")
    return folder


def _before_start() -> None:
    # A shell that runs the tests in the background would have them ignore Ctrl-C, and this command with them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # On a busy machine the one that watches has to come first.
    os.nice(10)


def _start(folder: Path, models: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "predict-bulk", *arguments], cwd=folder,
        env={**environment(folder / "data", models), "COLUMNS": "200"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        preexec_fn=_before_start,
    )  # fmt: skip


@pytest.fixture
def run(xtalforge: Path, folder: Path, tiny_models: Path) -> Run:
    def command(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [xtalforge, "predict-bulk", *arguments], cwd=folder,
            env={**environment(folder / "data", tiny_models), "COLUMNS": "200"}, capture_output=True, text=True,
            timeout=180,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, " ".join(done.stderr.split())

    return command


def test_stopped_with_ctrl_c_the_same_command_goes_on(run: Run, folder: Path, tiny_models: Path) -> None:
    command = ("rows.csv", "-o", "out.parquet", "-m", GAP_MODEL, "--processes", "1")
    process = _start(folder, tiny_models, *command)
    parts = folder / "out.parquet.parts" / "parts"
    wait_until(lambda: list(parts.glob("*.parquet")), "the first part")
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == EXIT_STOPPED and "Traceback" not in error and not (folder / "out.parquet").exists()
    time.sleep(0.2)
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 1 <= len(kept) < N_CHUNKS
    status, told = run(*command[:3], "-p", "band_gap")
    assert status == EXIT_REFUSED and "unfinished_run" in told
    status, told = run(*command)
    assert status == 3 and f"{N_ROWS - N_ROWS // 10:,} of {N_ROWS:,} inputs have values" in told
    assert pq.read_table(folder / "out.parquet")["row"].to_pylist() == list(range(1, N_ROWS + 1))
    assert not (folder / "out.parquet.parts").exists()


def test_compositions_and_formats(run: Run, folder: Path) -> None:
    status, told = run("formulas.jsonl", "-o", "out.csv", "--processes", "1")
    assert status == 3 and "1 of 2 inputs have values" in told
    with (folder / "out.csv").open() as file:
        first, second = csv.DictReader(file)
    assert (first["input_id"], first["model"], first["error_code"]) == ("a", COMPOSITION_MODEL, "")
    assert (second["input_id"], second["value"], second["error_code"]) == ("b", "", "invalid_composition")
    assert run("formulas.jsonl", "-o", "out.jsonl", "-m", COMPOSITION_MODEL, "--processes", "1")[0] == 3
    assert [json.loads(line)["row"] for line in (folder / "out.jsonl").read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["bad.csv", "-o", "x.csv"], EXIT_REFUSED, "No column holds structures"),
        (["formulas.jsonl", "-o", "x.xlsx"], 2, ".parquet"),
        (["formulas.jsonl", "-o", "x.csv", "-m", "nope"], EXIT_REFUSED, "model_not_found"),
        (["formulas.jsonl", "-o", "x.csv", "-m", "a", "-p", "band_gap"], 2, "not both"),
        (["formulas.jsonl", "-o", "x.csv", "--server", "http://127.0.0.1:9"], EXIT_UNREACHABLE, "server_unreachable"),
    ],
)
def test_errors_are_a_sentence_and_nothing_is_left(
    run: Run, folder: Path, arguments: list[str], status: int, reason: str
) -> None:
    done = run(*arguments)
    assert done[0] == status and reason in done[1], done
    assert not list(folder.glob("x.*"))
