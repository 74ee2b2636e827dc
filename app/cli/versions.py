"""`xtalforge models versions`, `lineage` and `delete`, and the models of a server."""

import io
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import typer

from app.cli.aliases import NameArgument, VersionArgument, split_version
from app.cli.api import api
from app.cli.installation import DataDirOption
from app.cli.output import JsonOption, ServerOption, print_json, print_record, print_records
from app.cli.server import CannotWrite, Server, ServerError
from app.registry.references import parse_reference

_COLUMNS = {
    "version": "version#", "method": "method", "metrics.test.mae": "test MAE#", "property.unit": "unit",
    "aliases": "aliases", "source": "source", "dataset": "data", "created_at": "made",
}  # fmt: skip
_MARKDOWN = "text/markdown"


def _api(server: str | None, data_dir: Path | None) -> AbstractContextManager[Server]:
    return api(server, data_dir, "app.registry.routes")


def versions(
    name: NameArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """List the versions of a model, newest first."""
    with _api(server, data_dir) as service:
        print_records(service.items(f"/v1/models/{name}/versions"), _COLUMNS, as_json=as_json)


def lineage(
    version: VersionArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Show where a version comes from and what came from it."""
    name, number = split_version(version)
    with _api(server, data_dir) as service:
        found = service.get(f"/v1/models/{name}/versions/{number}/lineage")
    if as_json:
        print_json(found)
        return
    for depth, each in enumerate([*reversed(found["ancestors"]), found["version"]]):
        typer.echo(f"{'  ' * depth}{each['name']}/{each['version']} ({each['method']})")
    for each in found["children"]:
        typer.echo(f"{'  ' * (len(found['ancestors']) + 1)}{each['name']}/{each['version']} ({each['method']})")


def delete(
    version: VersionArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Delete a version; refused while an alias, a job or another version needs it."""
    name, number = split_version(version)
    with _api(server, data_dir) as service:
        service.send("DELETE", f"/v1/models/{name}/versions/{number}")
    print_record({"deleted": version}, as_json=as_json)


def summaries_on(server: str) -> list[dict[str, Any]]:
    """The models of a server, as `models list` shows them."""
    with Server(server) as service:
        models = service.items("/v1/models")
    return [_summary(model["champion"]) for model in models if model["champion"] is not None]


def show_on(server: str, reference: str, *, as_json: bool) -> None:
    """The card of a version on a server, or as JSON what the server says of it."""
    with Server(server) as service:
        path = _path(service, reference)
        if as_json:
            print_json(service.get(path))
        else:
            typer.echo(service.text(f"{path}/card", _MARKDOWN))


def download_from(server: str, reference: str, out: Path) -> Path:
    """Fetch a version into OUT/NAME/VERSION. Raises ServerError, and CannotWrite where something is there already."""
    with Server(server) as service:
        path = _path(service, reference)
        content = service.content(f"{path}/download")
    name, _, number = path.removeprefix("/v1/models/").partition("/versions/")
    folder = out / name / number
    try:
        folder.mkdir(parents=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                # Only the last part of a name counts: a server must not choose where files go.
                (folder / Path(member).name).write_bytes(archive.read(member))
    except FileExistsError:
        raise CannotWrite(f"{folder} is there already.") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise CannotWrite(f"{folder} cannot be written: {error}.") from None
    return folder


def _path(service: Server, reference: str) -> str:
    """Where a server has what NAME, NAME@ALIAS or NAME/VERSION means. Raises ServerError, InvalidName."""
    wanted = parse_reference(reference)
    number = wanted.version
    if number is None:
        number = service.get(f"/v1/models/{wanted.name}")["aliases"].get(wanted.alias)
    if number is None:
        raise ServerError(f"Model {wanted.name} has no alias '{wanted.alias}'.", "alias_not_found", 404)
    return f"/v1/models/{wanted.name}/versions/{number}"


def _summary(version: dict[str, Any]) -> dict[str, Any]:
    metrics = version["metrics"]
    test, train = metrics.get("test"), metrics.get("train")
    return {
        "name": version["name"],
        "version": version["version"],
        "property": version["property"]["key"],
        "unit": version["property"]["unit"],
        "input_kind": version["input_kind"],
        "architecture": version["architecture"],
        "test_mae": round(test["mae"], 4) if test else None,
        "n_train": train["n"] if train else None,
        "source": version["source"],
        "sha256": version["sha256"],
    }
