"""`xtalforge reproduce` as a user types it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.reproduction import protocols
from tests.reproduction.tiny import DATA_FILE

runner = CliRunner()


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(protocols.MODULES, "tiny", "tests.reproduction.tiny")
    (tmp_path / DATA_FILE).write_text("1.0")
    return ["--data-kit", str(tmp_path), "--work-dir", str(tmp_path / "work"), "--device", "cpu"]


def test_quick_run_writes_a_report_and_goes_on(options: list[str], tmp_path: Path) -> None:
    answer = runner.invoke(app, ["reproduce", "tiny", "--quick", "--system", "scratch", "--trials", "1", *options])
    assert answer.exit_code == 0, answer.output
    report = tmp_path / "work" / "quick" / "tiny" / "report.md"
    assert str(report) in answer.output.replace("\n", "")
    assert "| scratch | 0.500 ± 0.100 |" in report.read_text()
    again = runner.invoke(app, ["reproduce", "tiny", "--quick", "--system", "pls", "--trials", "1", *options])
    assert "xtalforge reproduce tiny --source strict" not in again.output
    assert "| pls |" in report.read_text()
    assert "| scratch |" in report.read_text()


def test_the_report_alone_trains_nothing(options: list[str], tmp_path: Path) -> None:
    answer = runner.invoke(app, ["reproduce", "tiny", "--report-only", "--out", str(tmp_path / "out"), *options])
    assert answer.exit_code == 0, answer.output
    assert "No trial has been run yet." in (tmp_path / "out" / "tiny" / "report.md").read_text()


def test_unknown_names_are_answered_with_those_on_offer(options: list[str]) -> None:
    answer = runner.invoke(app, ["reproduce", "nature-2050", *options])
    assert answer.exit_code == 4
    assert "tl-cgcnn" in answer.output
    answer = runner.invoke(app, ["reproduce", "tiny", "--source", "shipped", *options])
    assert answer.exit_code == 4
    assert "Those are: strict" in answer.output


def test_missing_data_is_one_sentence(options: list[str], tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).unlink()
    answer = runner.invoke(app, ["reproduce", "tiny", *options])
    assert answer.exit_code == 1
    assert "--data-kit" in answer.output
