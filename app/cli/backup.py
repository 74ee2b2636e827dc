"""`xtalforge backup`, `restore` and `move`: an installation as a file, and into another one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import JsonOption, print_json
from app.core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from app.maintenance.target import Restored
    from app.registry.store import ArtifactStore

BackupFile = Annotated[Path, typer.Argument(help="The backup, a tar file.")]


def backup(file: BackupFile, as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Save database, data sets, models and results in one file, while the service goes on."""
    from app.maintenance.archive import write_backup
    from app.maintenance.source import installation_source

    with opened(settings_with(data_dir=data_dir)) as (engine, store), installation_source(engine, store) as source:
        saved = write_backup(source, file)
    if as_json:
        print_json({"file": str(file), **saved._asdict()})
        return
    typer.echo(
        f"{file}: {saved.n_rows:,} rows of {saved.n_tables} tables and {saved.n_objects:,} stored objects, "
        f"{saved.size_bytes:,} bytes."
    )


def restore(
    file: BackupFile,
    check_only: Annotated[bool, typer.Option("--check", help="Only check that the file is whole.")] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Put a backup into an empty installation; its database and store may be of another kind."""
    from app.maintenance.archive import Backup
    from app.maintenance.target import fill
    from app.registry.store import open_store

    found = Backup(file)
    told: dict[str, Any] = {
        "file": str(file), "created_at": found.created_at, "version": found.version, "n_objects": found.n_objects
    }  # fmt: skip
    if check_only:
        if as_json:
            print_json(told)
        else:
            typer.echo(f"{file} is whole: made {found.created_at} by version {found.version}.")
        return
    settings = settings_with(data_dir=data_dir)
    _tell(fill(found, settings.resolved_database_url, open_store(settings)), f"{file} restored", told, as_json)


def move(
    to_database: Annotated[str, typer.Option(help="`postgresql://...` or `sqlite:///...`: an empty database.")],
    to_store: Annotated[str, typer.Option(help="`s3://bucket/prefix` or `file:///...`.")],
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Copy this installation into another database and store, e.g. those of a cluster. Stop the service first.

    What is here stays as it is. Jobs that wait go on there; those that ran start again.
    """
    from app.maintenance.in_use import refuse_in_use
    from app.maintenance.source import installation_source
    from app.maintenance.target import fill
    from app.registry.store import open_store_at

    settings = settings_with(data_dir=data_dir)
    target = settings_with(data_dir=data_dir, database_url=to_database, store_url=to_store)
    with opened(settings) as (engine, store):
        with engine.connect() as connection:
            refuse_in_use(settings.data_dir, connection)
        with installation_source(engine, store) as source:
            done = fill(source, target.resolved_database_url, open_store_at(target.resolved_store_url))
    _tell(done, "Copied", {}, as_json)


@contextmanager
def opened(settings: Settings) -> "Iterator[tuple[Engine, ArtifactStore]]":
    """Database and store as they are: nothing is migrated or registered."""
    from app.core.db import create_engine_for
    from app.core.logging import configure_logging
    from app.registry.store import open_store

    configure_logging("WARNING", settings.log_format)
    engine = create_engine_for(settings.resolved_database_url)
    try:
        yield engine, open_store(settings)
    finally:
        engine.dispose()


def _tell(done: "Restored", what: str, told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({**told, "rows": done.rows, "n_objects": done.n_objects})
        return
    typer.echo(f"{what}: {done.n_rows:,} rows and {done.n_objects:,} stored objects, each checked.")
