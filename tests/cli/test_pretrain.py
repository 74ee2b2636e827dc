"""`xtalforge pretrain` before anything is trained: what it refuses, and what it names."""

from pathlib import Path

from typer.testing import CliRunner

from app.cli.main import app
from app.learning.recipes import RECIPES

NAME = "schnet-formation-energy-no-tmo/1"


def pretrain(kit: Path, out: Path, name: str = NAME) -> tuple[int, str]:
    arguments = ["pretrain", name, "--data-kit", str(kit), "--out", str(out), "--work-dir", str(out / "work")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_every_missing_data_file_is_named(tmp_path: Path) -> None:
    recipe = RECIPES[NAME]
    code, output = pretrain(tmp_path, tmp_path)
    assert code == 1 and recipe.file in output and recipe.rows.without_formulas_of[0] in output
    (tmp_path / recipe.file).touch()
    code, output = pretrain(tmp_path, tmp_path)
    assert code == 1 and recipe.file not in output and recipe.rows.without_formulas_of[0] in output


def test_a_version_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(parents=True)
    code, output = pretrain(tmp_path, tmp_path)
    assert code == 1 and "versions are immutable" in output


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path) -> None:
    code, output = pretrain(tmp_path, tmp_path, "schnet/9")
    assert code == 2 and NAME in output
