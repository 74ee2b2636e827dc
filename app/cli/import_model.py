"""`xtalforge import`: checkpoints of the original CGCNN code become models. Only here, never over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.datasets import UnitOption
from app.cli.installation import DataDirOption, Installation, open_installation, settings_with
from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, JsonOption, print_error, print_json, print_table, stderr
from app.core.errors import Conflict, PayloadTooLarge, XtalforgeError
from app.properties.catalogue import Transform, resolve_property
from app.registry.references import check_model_name

if TYPE_CHECKING:
    from app.learning.importing import ImportedModel

MAX_BYTES = 1_000_000_000
_COLUMNS = {"file": "file", "model": "model", "property": "property", "unit": "unit", "outcome": "outcome"}


class NotWritten(Conflict):
    code, title = "cannot_write", "The folder cannot be written"


def import_model(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="`.pth.tar` files.")],
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the model. [default: xie-grossman-PROPERTY]")
    ] = None,
    property_key: Annotated[
        str | None, typer.Option("--property", "-p", help="What it predicts, where the file does not say it.")
    ] = None,
    unit: UnitOption = None,
    transform: Annotated[
        Transform | None, typer.Option(help="Scale of the labels in training, where it is not the property's own.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write OUTPUT/NAME/1 instead of registering the model.")
    ] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Import networks of the original CGCNN code (github txie-93/cgcnn), such as those its authors published.

    The files are pickles; nothing in them is run. Exit status 0: all were imported. 3: some were not (listed on
    stderr). 1: none was.
    """
    if name is not None and len(files) > 1:
        raise typer.BadParameter("one name cannot serve several files", param_hint="--name")
    if property_key is None and (unit is not None or transform is not None):
        raise typer.BadParameter("--unit and --transform describe a --property")
    if name is not None:
        check_model_name(name)
    spec = resolve_property(property_key, unit, transform) if property_key is not None else None
    with stderr.status("loading"):
        from app.learning.importing import import_checkpoint

    models: list[tuple[Path, ImportedModel]] = []
    failed: list[tuple[Path, XtalforgeError]] = []
    for path in files:
        try:
            models.append((path, import_checkpoint(_read(path), name, spec, transform)))
        except XtalforgeError as error:
            failed.append((path, error))
    done = _write(models, output, failed) if output is not None else _register(models, data_dir, failed)
    _print(done, failed, as_json)


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise PayloadTooLarge(f"It is larger than {MAX_BYTES:,} bytes, which no such network is.")
    return path.read_bytes()


def _write(
    models: Sequence[tuple[Path, "ImportedModel"]], output: Path, failed: list[tuple[Path, XtalforgeError]]
) -> list[dict[str, str]]:
    from app.learning.release import write_version

    done = []
    for path, model in models:
        folder = output / model.manifest.name / "1"
        try:
            write_version(model.manifest, model.weights, folder)
        except FileExistsError as error:
            failed.append((path, NotWritten(str(error))))
        except OSError as error:
            failed.append((path, NotWritten(f"{folder} cannot be written: {error.strerror}.")))
        else:
            done.append(_row(path, model, f"{model.manifest.name}/1", f"written to {folder}"))
    return done


def _register(
    models: Sequence[tuple[Path, "ImportedModel"]], data_dir: Path | None, failed: list[tuple[Path, XtalforgeError]]
) -> list[dict[str, str]]:
    if not models:
        return []
    done = []
    with open_installation(settings_with(data_dir=data_dir)) as local:
        for path, model in models:
            try:
                version, is_new = _register_one(local, model)
            except XtalforgeError as error:
                failed.append((path, error))
            else:
                reference = f"{model.manifest.name}/{version}"
                done.append(_row(path, model, reference, "registered" if is_new else "was there already"))
    return done


def _register_one(local: Installation, model: "ImportedModel") -> tuple[int, bool]:
    """The version's number, and whether it is new: the same network is not registered twice under one name."""
    from app.core.db import open_session
    from app.registry.card import render_card
    from app.registry.service import IMPORT, RegistryService

    manifest = model.manifest
    with open_session(local.sessions) as session:
        registry = RegistryService(session, local.store)
        registry.reserve(manifest)
        known = registry.find_equal(manifest)
        if known is not None:
            return known.version, False
        return registry.register_version(manifest, model.weights, render_card(manifest), IMPORT).version, True


def _row(path: Path, model: "ImportedModel", reference: str, outcome: str) -> dict[str, str]:
    record = model.manifest.property
    return {
        "file": str(path),
        "model": reference,
        "property": record.key,
        "unit": record.unit,
        "sha256": model.manifest.weights_sha256,
        "outcome": outcome,
    }


def _print(done: Sequence[dict[str, str]], failed: Sequence[tuple[Path, XtalforgeError]], as_json: bool) -> None:
    if as_json:
        print_json(done)
    elif done:
        print_table("", list(_COLUMNS.values()), ([row[key] for key in _COLUMNS] for row in done))
    for path, error in failed:
        print_error(f"{path}: {error.detail}", error.code)
    if failed:
        raise typer.Exit(EXIT_PARTIAL if done else EXIT_ERROR)
