"""`xtalforge keys` and `xtalforge tenants`: who may use this installation, and how much."""

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.installation import DataDirOption, open_database, settings_with
from app.cli.output import JsonOption, print_json, print_table, stderr
from app.core.errors import InvalidRequest
from app.core.principal import KeyScope
from app.core.tenants import DEFAULT_TENANT

if TYPE_CHECKING:
    from app.access.models import ApiKey
    from app.access.service import AccessService, MadeKey

NEVER = "never"
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])")

app = typer.Typer(no_args_is_help=True, help="API keys: made, listed, revoked, rotated.")
tenants_app = typer.Typer(no_args_is_help=True, help="Tenants, which do not see each other's data, and their quotas.")

KeyArgument = Annotated[str, typer.Argument(help="Id of the key, key_..., or the ten characters after xf_.")]
ExpiresOption = Annotated[str, typer.Option(help="How long it is valid: 30d, 12h, 52w, or never.")]
MostOption = Annotated[int | None, typer.Option(min=-1, help="Most for this tenant; 0 = any number, -1 = the setting.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    tenant: Annotated[str, typer.Option(help="Whose data, models and jobs it opens.")] = DEFAULT_TENANT,
    scope: Annotated[list[KeyScope] | None, typer.Option(help="What it allows; may be repeated.")] = None,
    expires: ExpiresOption = "365d",
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="A limit of its own.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key and show it, this once. Without --scope it may predict and train."""
    scopes = scope or [KeyScope.PREDICT, KeyScope.TRAIN]
    with _access(data_dir) as access:
        made = access.create_key(name, tenant, scopes, _end_of(expires), requests_per_minute)
    _print_made(made, as_json)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """List the keys, without what is secret of them."""
    with _access(data_dir) as access:
        rows = [_row(key) for key in access.keys(tenant)]
    if as_json:
        print_json(rows)
        return
    shown = ("id", "prefix", "name", "tenant", "scopes", "state", "expires_at", "last_used_at")
    print_table("", shown, ([_cell(row[column]) for column in shown] for row in rows))


@app.command()
def revoke(key: KeyArgument, as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """End a key for good. API processes notice within seconds (XTALFORGE_ACCESS__CACHE_S)."""
    with _access(data_dir) as access:
        row = _row(access.revoke_key(key))
    if as_json:
        print_json(row)
    else:
        typer.echo(f"{row['id']} ({row['name']}) is revoked")


@app.command()
def rotate(
    key: KeyArgument,
    grace: Annotated[str, typer.Option(help="How long the old key works on: 30m, 12h, 7d.")] = "7d",
    expires: ExpiresOption = "365d",
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key with the same rights, show it, and let the old one end after the time of grace."""
    with _access(data_dir) as access:
        made = access.rotate_key(key, _duration(grace), _end_of(expires))
    _print_made(made, as_json)


@tenants_app.command("list")
def list_tenants(as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """List the tenants with the quotas of their own."""
    with _access(data_dir) as access:
        rows: list[dict[str, Any]] = [
            {"name": t.name, "quotas": t.quotas, "created_at": t.created_at} for t in access.tenants()
        ]
    if as_json:
        print_json(rows)
        return
    quotas = (", ".join(f"{quota} {most:,}" for quota, most in row["quotas"].items()) for row in rows)
    print_table("", ("name", "quotas of its own"), zip((row["name"] for row in rows), quotas, strict=True))


@tenants_app.command("set")
def set_tenant(
    name: Annotated[str, typer.Argument(help="The tenant; made where there is none.")],
    datasets: MostOption = None,
    dataset_bytes: MostOption = None,
    open_jobs: MostOption = None,
    bulk_rows_a_day: MostOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Give a tenant quotas other than those of the settings."""
    from app.access.quotas import Quota

    given = {
        Quota.DATASETS: datasets, Quota.DATASET_BYTES: dataset_bytes, Quota.OPEN_JOBS: open_jobs,
        Quota.BULK_ROWS_A_DAY: bulk_rows_a_day,
    }  # fmt: skip
    with _access(data_dir) as access:
        named = {quota.value: None if most < 0 else most for quota, most in given.items() if most is not None}
        tenant = access.set_quotas(name, named)
        if as_json:
            print_json({"name": tenant.name, "quotas": tenant.quotas})
        else:
            typer.echo(f"{tenant.name}: {tenant.quotas or 'as in the settings'}")


@contextmanager
def _access(data_dir: Path | None) -> Iterator["AccessService"]:
    from app.access.service import AccessService
    from app.core.db import open_session

    with open_database(settings_with(data_dir=data_dir)) as sessions, open_session(sessions) as session:
        yield AccessService(session, f"command line: {getpass.getuser()}")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"{text!r} is no duration such as 30m, 12h, 7d or 52w.")
    return int(found[1]) * _UNITS[found[2]]


def _end_of(expires: str) -> datetime | None:
    from app.core.orm import utc_now

    return None if expires == NEVER else utc_now() + _duration(expires)


def _print_made(made: "MadeKey", as_json: bool) -> None:
    """The key alone on stdout, so that it can be piped."""
    if as_json:
        print_json({**_row(made.key), "key": made.token})
        return
    row = _row(made.key)
    stderr.print(
        f"{row['id']}: {row['name']}, tenant {row['tenant']}, {_cell(row['scopes'])}, valid until "
        f"{row['expires_at'] or 'it is revoked'}. It is shown this once:",
        markup=False, highlight=False,
    )  # fmt: skip
    typer.echo(made.token)


def _row(key: "ApiKey") -> dict[str, Any]:
    from app.access.service import state_of
    from app.core.orm import utc_now

    return {
        "id": key.id, "prefix": key.prefix, "name": key.name, "tenant": key.tenant, "scopes": key.scopes,
        "state": state_of(key, utc_now()), "requests_per_minute": key.requests_per_minute, "replaces": key.replaces,
        "created_at": _time(key.created_at), "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at), "last_used_at": _time(key.last_used_at),
    }  # fmt: skip


def _time(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds") if instant is not None else None


def _cell(value: Any) -> Any:
    return " ".join(value) if isinstance(value, list) else value
