"""`xtalforge calibrate`: intervals and domain for a shipped model that was trained without."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.cli.output import EXIT_ERROR, JsonOption, print_error, print_json
from app.learning.recipes import RECIPES
from app.registry.manifest import Manifest


def calibrate(
    name: Annotated[str, typer.Argument(metavar="NAME/VERSION", help=f"One of {', '.join(RECIPES)}.")],
    data_kit: Annotated[Path, typer.Option(envvar="XTALFORGE_DATA_KIT", help="Folder with the source Parquet files.")],
    store: Annotated[Path, typer.Option(help="Where the model is, and its next version goes.")] = Path("models_store"),
    work_dir: Annotated[Path, typer.Option(help="Where graphs are kept.")] = Path("data/pretrain"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how far predictions of NAME/VERSION can be trusted, on the rows its training left out.

    Versions are immutable: the result is the next version of NAME, with the same weights. Nothing is trained.
    """
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(RECIPES)}.", param_hint="NAME/VERSION")
    recipe = RECIPES[name]
    folder = store / recipe.name / str(recipe.version)
    if not folder.is_dir():
        print_error(f"{folder} is not there.", "model_version_not_found")
        raise typer.Exit(EXIT_ERROR)
    if not (data_kit / recipe.file).is_file():
        print_error(f"{recipe.file} is not in {data_kit}.", "source_not_found")
        raise typer.Exit(EXIT_ERROR)
    # Before torch: threads that wait and spin would make each other wait longer on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from app.learning.recalibration import Version, calibrate_version
    from app.learning.release import next_version, write_calibrated

    version = Version.read(folder)
    if version.manifest.trust is not None:
        print_error(f"{name} has intervals already.", "exists")
        raise typer.Exit(EXIT_ERROR)
    if threads is not None:
        torch.set_num_threads(threads)
    with tqdm(desc="featurising", unit="row", file=sys.stderr) as bar:

        def on_featurised(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        command = f"xtalforge calibrate {name}"
        model = calibrate_version(version, recipe, data_kit, work_dir, device, command, on_featurised)
    target = store / recipe.name / str(next_version(store, recipe.name))
    write_calibrated(model, target, folder)
    if as_json:
        print_json({"folder": str(target), "manifest": model.manifest.model_dump(mode="json")})
    else:
        _print(model.manifest, target)


def _print(manifest: Manifest, target: Path) -> None:
    record, unit = manifest.trust, manifest.property.unit
    assert record is not None and record.coverage is not None
    typer.echo(
        f"{target}: intervals of level 0.9 hold {record.coverage.share:.1%} of {record.coverage.n:,} labels, "
        f"mean width {record.coverage.mean_width:.4g} {unit}."
    )
