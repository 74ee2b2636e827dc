"""`xtalforge models`: what the registry of this installation holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.installation import DataDirOption, open_installation, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, print_error, print_json, print_table
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest

if TYPE_CHECKING:
    from app.registry.models import ModelVersion
    from app.registry.service import RegistryService

app = typer.Typer(no_args_is_help=True, help="Models of this installation.")


_COLUMNS = {
    "name": "model",
    "version": "version#",
    "property": "property",
    "input_kind": "from",
    "test_mae": "test MAE#",
    "unit": "unit",
    "n_train": "training rows#",
    "source": "source",
}


@contextmanager
def _registry(data_dir: Path | None) -> Iterator["RegistryService"]:
    from app.core.db import open_session
    from app.registry.service import RegistryService

    with (
        open_installation(settings_with(data_dir=data_dir)) as local,
        open_session(local.sessions, read_only=True) as session,
    ):
        yield RegistryService(session, local.store)


Reference = Annotated[str, typer.Argument(help="NAME (its champion), NAME@ALIAS or NAME/VERSION.")]


@app.command("list")
def list_models(as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """List the models with their champions."""
    with _registry(data_dir) as registry:
        champions = registry.champions()
    rows = [_summary(version) for version in champions]
    if as_json:
        print_json(rows)
        return
    print_table("", list(_COLUMNS.values()), ([row[key] for key in _COLUMNS] for row in rows))


@app.command()
def show(reference: Reference, as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Show a model's card, or its manifest with --json."""
    with _registry(data_dir) as registry:
        version = registry.resolve(reference)
        if as_json:
            print_json({**_summary(version), "manifest": version.manifest})
        else:
            typer.echo(registry.card(version))


@app.command()
def download(
    reference: Reference,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(),
    data_dir: DataDirOption = None,
) -> None:
    """Write manifest, weights, card and what intervals come from to OUT/NAME/VERSION, the layout of models_store."""
    with _registry(data_dir) as registry:
        version = registry.resolve(reference)
        manifest, weights, trust = registry.artifact(version)
        card = registry.card(version)
    folder = out / version.model_name / str(version.version)
    try:
        folder.mkdir(parents=True)
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2))
        (folder / WEIGHTS_FILE).write_bytes(weights)
        (folder / CARD_FILE).write_text(card)
        if trust is not None:
            (folder / TRUST_FILE).write_bytes(trust)
    except FileExistsError:
        print_error(f"{folder} is there already.", "exists")
        raise typer.Exit(EXIT_ERROR) from None
    except OSError as error:
        print_error(f"{folder} cannot be written: {error.strerror}.", "cannot_write")
        raise typer.Exit(EXIT_ERROR) from None
    typer.echo(str(folder))


def _summary(version: "ModelVersion") -> dict[str, object]:
    manifest = Manifest.model_validate(version.manifest)
    test = manifest.metrics.test
    return {
        "name": version.model_name,
        "version": version.version,
        "property": manifest.property.key,
        "unit": manifest.property.unit,
        "input_kind": manifest.input_kind.value,
        "architecture": manifest.architecture.value,
        "test_mae": round(test.mae, 4) if test is not None else None,
        "n_train": manifest.training.n_train,
        "source": version.source,
        "sha256": version.weights_sha256,
    }
