"""`xtalforge models`: what the registry of this installation holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.aliases import promote, rollback, show_alias, unalias
from app.cli.installation import DataDirOption, open_installation, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, ServerOption, print_error, print_json, print_table
from app.cli.versions import delete, download_from, lineage, show_on, summaries_on, versions
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest

if TYPE_CHECKING:
    from app.registry.models import ModelVersion
    from app.registry.service import RegistryService

app = typer.Typer(no_args_is_help=True, help="Models, their versions and aliases.")
app.command()(versions)
app.command()(lineage)
app.command()(delete)
app.command()(promote)
app.command()(rollback)
app.command("alias")(show_alias)
app.command()(unalias)


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
def list_models(as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None) -> None:
    """List the models with their champions."""
    if server is not None:
        rows = summaries_on(server)
    else:
        with _registry(data_dir) as registry:
            rows = [_summary(version) for version in registry.champions()]
    if as_json:
        print_json(rows)
        return
    print_table("", list(_COLUMNS.values()), ([row[key] for key in _COLUMNS] for row in rows))


@app.command()
def show(
    reference: Reference, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Show a model's card, or with --json its manifest (of a server: what it says of the version)."""
    if server is not None:
        show_on(server, reference, as_json=as_json)
        return
    with _registry(data_dir) as registry:
        version = registry.resolve(reference)
        if as_json:
            print_json({**_summary(version), "manifest": version.manifest})
        else:
            typer.echo(registry.files.card(version))


@app.command()
def download(
    reference: Reference,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path(),
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write manifest, weights, card and what intervals come from to OUT/NAME/VERSION, the layout of models_store."""
    folder = download_from(server, reference, out) if server is not None else _write_files(reference, out, data_dir)
    if as_json:
        print_json({"folder": str(folder)})
    else:
        typer.echo(str(folder))


def _write_files(reference: str, out: Path, data_dir: Path | None) -> Path:
    with _registry(data_dir) as registry:
        version = registry.resolve(reference)
        manifest, weights, trust = registry.files.artifact(version)
        card = registry.files.card(version)
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
    return folder


@app.command()
def verify(as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Check that the files of every model are whole: sha256, format, manifest. Exit status 1 when any is damaged."""
    from app.core.db import open_session
    from app.core.tenancy import of_tenant
    from app.core.tenants import EVERY_TENANT
    from app.registry.checking import check_versions

    with open_installation(settings_with(data_dir=data_dir)) as local:
        every = of_tenant(local.sessions, EVERY_TENANT)
        with open_session(every, read_only=True) as session:
            checked = list(check_versions(session, local.store))
    damaged = [found for found in checked if found.problem is not None]
    if as_json:
        print_json([asdict(found) for found in checked])
    else:
        typer.echo(f"{len(checked) - len(damaged)} of {len(checked)} model versions are whole.")
        for found in damaged:
            print_error(found.problem or "", "artifact_corrupt")
    if damaged:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def add(
    path: Annotated[Path, typer.Argument(exists=True, help="A zip of `GET .../download`, or a folder of `download`.")],
    name: Annotated[str | None, typer.Option("--name", "-n", help="Another name for the model.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Register a model version that was taken from another installation. It can hold no code, and none is run."""
    from app.core.db import open_session
    from app.learning.predictor import Predictor
    from app.registry.card import render_card
    from app.registry.exchange import read_exported
    from app.registry.service import IMPORT, RegistryService

    settings = settings_with(data_dir=data_dir)
    manifest, weights, trust = read_exported(path, settings.limits)
    if name is not None:
        manifest = manifest.model_copy(update={"name": name})
    Predictor.from_bytes(manifest, weights, trust)
    with open_installation(settings) as local, open_session(local.sessions) as session:
        registry = RegistryService(session, local.store)
        registry.reserve(manifest)
        known = registry.find_equal(manifest)
        version = known or registry.register_version(manifest, weights, render_card(manifest), IMPORT, trust=trust)
        told = f"{version.model_name}/{version.version}"
    if as_json:
        print_json({"model": told, "is_new": known is None})
    else:
        typer.echo(f"{told} was there already" if known is not None else f"{told} registered")


def _summary(version: "ModelVersion") -> dict[str, Any]:
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
