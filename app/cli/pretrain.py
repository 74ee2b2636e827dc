"""`xtalforge pretrain`: train a shipped model from its source data."""

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from tqdm import tqdm

from app.cli.output import JsonOption, print_json
from app.learning.hyperparameters import Hyperparameters
from app.learning.recipes import RECIPES
from app.registry.manifest import Manifest

if TYPE_CHECKING:
    from app.learning.training_job import TrainingEvent


def pretrain(
    name: Annotated[str, typer.Argument(metavar="NAME/VERSION", help=f"One of {', '.join(RECIPES)}.")],
    data_kit: Annotated[Path, typer.Option(envvar="XTALFORGE_DATA_KIT", help="Folder with the source Parquet files.")],
    out: Annotated[Path, typer.Option(help="Where the model goes: OUT/NAME/VERSION.")] = Path("models_store"),
    work_dir: Annotated[Path, typer.Option(help="Graphs and the state of runs; keep it to resume.")] = Path(
        "data/pretrain"
    ),
    seed: Annotated[int, typer.Option(min=0)] = 0,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    max_sites: Annotated[
        int | None, typer.Option(min=1, help="Only crystals with at most so many sites, instead of the recipe's.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train NAME on its source data and write manifest, weights and card. Interrupted, run it again to go on."""
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(RECIPES)}.", param_hint="NAME/VERSION")
    recipe = RECIPES[name]
    if max_sites is not None:
        recipe = replace(recipe, rows=replace(recipe.rows, max_sites=max_sites))
    folder = out / recipe.name / str(recipe.version)
    if folder.exists():
        typer.echo(f"{folder} is there already: versions are immutable.", err=True)
        raise typer.Exit(1)
    needed = (recipe.file, *recipe.rows.without_formulas_of)
    if missing := [file for file in needed if not (data_kit / file).is_file()]:
        typer.echo(f"Not in {data_kit}: {', '.join(missing)}.", err=True)
        raise typer.Exit(1)

    # Before torch: threads that wait and spin would make each other wait longer on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from app.learning.pretraining import pretrain as run
    from app.learning.release import write_model

    if threads is not None:
        torch.set_num_threads(threads)
    bars = _Bars(name)
    command = shlex.join(
        ["xtalforge", "pretrain", name, "--seed", str(seed)]
        + (["--max-epochs", str(max_epochs)] if max_epochs else [])
        + (["--max-sites", str(max_sites)] if max_sites else [])
    )
    model = run(
        recipe, data_kit, work_dir, out, seed, Hyperparameters(max_epochs=max_epochs), device, command,
        bars.on_event, bars.on_featurised,
    )  # fmt: skip
    bars.close()
    write_model(model, folder)
    if as_json:
        print_json({"folder": str(folder), "manifest": model.manifest.model_dump(mode="json")})
    else:
        _print(model.manifest, folder)


class _Bars:
    """Progress of the preparation, and of each stage of the training."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._preparing = tqdm(desc="featurising", unit="row", file=sys.stderr)
        self._stages: dict[str, tqdm[NoReturn]] = {}

    def on_featurised(self, done: int, total: int) -> None:
        self._preparing.total = total
        self._preparing.update(done - self._preparing.n)

    def on_event(self, event: "TrainingEvent") -> None:
        if event.stage not in self._stages:
            self._stages[event.stage] = tqdm(desc=event.stage or self._name, unit="epoch", file=sys.stderr)
        bar = self._stages[event.stage]
        bar.total = event.max_epochs
        bar.update(event.epoch - bar.n)
        bar.set_postfix(loss=f"{event.train_loss:.4f}", val_mae=f"{event.val_mae:.4f}")

    def close(self) -> None:
        for bar in (self._preparing, *self._stages.values()):
            bar.close()


def _print(manifest: Manifest, folder: Path) -> None:
    test, unit = manifest.metrics.test, manifest.property.unit
    assert test is not None
    typer.echo(f"{folder}: test MAE {test.mae:.4f} {unit} on {test.n} rows, best epoch {manifest.training.best_epoch}.")


if __name__ == "__main__":
    typer.run(pretrain)
