"""`xtalforge models promote`, `rollback`, `alias` and `unalias`: which version answers for a model."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.api import api
from app.cli.installation import DataDirOption
from app.cli.output import JsonOption, ServerOption, print_record, print_records
from app.cli.server import Server
from app.registry.references import CHAMPION

VersionArgument = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="A version, such as my-moduli/2.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the model.")]
AliasOption = Annotated[str, typer.Option(help="The alias to move.")]
ReasonOption = Annotated[str, typer.Option(help="Kept in the history.")]
RevisionOption = Annotated[
    int | None,
    typer.Option("--if-revision", min=1, help="Only if the alias still has this revision; see `models alias`."),
]

_CHANGES = {
    "changed_at": "when", "kind": "what", "from_version": "from#", "to_version": "to#", "reason": "reason",
}  # fmt: skip


def _api(server: str | None, data_dir: Path | None) -> AbstractContextManager[Server]:
    return api(server, data_dir, "app.registry.routes")


def promote(
    version: VersionArgument,
    alias: AliasOption = CHAMPION,
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Let a version answer for its model, or point another alias at it."""
    name, number = split_version(version)
    body = {"version": number, "reason": reason}
    with _api(server, data_dir) as service:
        moved = service.send("PUT", f"/v1/models/{name}/aliases/{alias}", body, _expecting(if_revision))
    print_record(moved, as_json=as_json)


def rollback(
    name: NameArgument,
    alias: AliasOption = CHAMPION,
    reason: ReasonOption = "",
    if_revision: RevisionOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Point an alias where it pointed before; again, one step further back."""
    path = f"/v1/models/{name}/aliases/{alias}/rollback"
    with _api(server, data_dir) as service:
        print_record(service.send("POST", path, {"reason": reason}, _expecting(if_revision)), as_json=as_json)


def show_alias(
    name: NameArgument,
    alias: Annotated[str, typer.Argument(help="The alias.")] = CHAMPION,
    history: Annotated[bool, typer.Option("--history", help="Every move, newest first.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show where an alias points."""
    path = f"/v1/models/{name}/aliases/{alias}"
    with _api(server, data_dir) as service:
        if history:
            print_records(service.items(f"{path}/history"), _CHANGES, as_json=as_json)
        else:
            print_record(service.get(path), as_json=as_json)


def unalias(
    name: NameArgument,
    alias: Annotated[str, typer.Argument(help="The alias to remove.")],
    if_revision: RevisionOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove an alias; the versions and its history stay."""
    with _api(server, data_dir) as service:
        service.send("DELETE", f"/v1/models/{name}/aliases/{alias}", headers=_expecting(if_revision))
    print_record({"removed": f"{name}@{alias}"}, as_json=as_json)


def split_version(text: str) -> tuple[str, int]:
    """`my-moduli/2` -> ("my-moduli", 2)."""
    name, separator, number = text.rpartition("/")
    if not separator or not name or not number.isdecimal() or len(number) > 9 or int(number) < 1:
        raise typer.BadParameter(f"{text!r} is not of the form NAME/VERSION, such as my-moduli/2")
    return name, int(number)


def _expecting(revision: int | None) -> dict[str, Any] | None:
    return {"If-Match": f'"{revision}"'} if revision is not None else None
