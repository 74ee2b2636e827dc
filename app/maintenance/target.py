"""Putting a backup, or another installation, into an empty one."""

import gzip
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from obstore.exceptions import BaseError as StoreError
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import MIGRATIONS_FOLDER, change_revision, create_engine_for, upgrade_to_head
from app.core.migrations import schema_state
from app.maintenance.errors import BackupUnreadable, MaintenanceError, NotEmpty
from app.maintenance.source import Source, SourceObject
from app.maintenance.tables import clear_tables, count_rows, write_table
from app.registry.store import ArtifactStore

_UNREADABLE = (EOFError, gzip.BadGzipFile, zlib.error, ValueError, LookupError, StopIteration)
"""What rows and names that somebody made up end in."""

_SMALL_BYTES = 64 << 20
"""Objects up to this size are compared with what is there already; larger ones are written again."""


class Restored(NamedTuple):
    """What was put into the installation."""

    rows: dict[str, int]
    n_objects: int

    @property
    def n_rows(self) -> int:
        return sum(self.rows.values())


def fill(source: Source, database_url: str, store: ArtifactStore) -> Restored:
    """Put all of `source` into an empty database and a store, and bring the schema to this version.

    All rows appear at once or not at all; objects that were written before something failed are found again by the next
    try. Raises NotEmpty, BackupUnreadable for a source that is newer than this program, MaintenanceError.
    """
    _refuse_unknown(source.revision)
    engine = create_engine_for(database_url, enforce_foreign_keys=False)
    try:
        _make_ready(engine, database_url, source.revision)
        with engine.begin() as connection:
            clear_tables(connection)
            rows = {table.name: write_table(connection, table) for table in source.tables()}
            _check_references(connection)
            # The rows become visible last: then everything they name is there.
            n_objects = sum(_put(store, found) for found in source.objects())
        upgrade_to_head(database_url)
    except (SQLAlchemyError, StoreError, *_UNREADABLE) as error:
        cause = getattr(error, "orig", None) or repr(error)
        raise MaintenanceError(f"The database could not be filled, and was left empty: {cause}") from error
    finally:
        engine.dispose()
    return Restored(rows, n_objects)


def refuse_filled(engine: Engine) -> None:
    """NotEmpty unless the database has no rows but those that the migrations put there."""
    current = schema_state(engine).current
    if current is None:
        if names := inspect(engine).get_table_names():
            raise NotEmpty(f"The database holds tables of something else ({', '.join(names[:3])}): give an empty one.")
        return
    seeded = _rows_of_a_new_database(current)
    with engine.connect() as connection:
        filled = [name for name, n in count_rows(connection).items() if n > seeded.get(name, 0)]
    if filled:
        raise NotEmpty(
            f"The database holds data already (in {', '.join(sorted(filled)[:5])}), and nothing is ever overwritten: "
            "give an empty one, and start the service only after this."
        )


def _refuse_unknown(revision: str) -> None:
    try:
        known = ScriptDirectory(str(MIGRATIONS_FOLDER)).get_revision(revision)
    except CommandError:
        known = None
    if known is None:
        raise BackupUnreadable(
            f"It has the schema {revision!r}, which this version of Xtalforge does not know: upgrade."
        )


def _make_ready(engine: Engine, url: str, revision: str) -> None:
    """Give the empty database the schema of the source."""
    refuse_filled(engine)
    current = schema_state(engine).current
    if current != revision:
        change_revision(url, current, revision)


def _rows_of_a_new_database(revision: str) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'new.db'}"
        change_revision(url, None, revision)
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                return count_rows(connection)
        finally:
            engine.dispose()


def _check_references(connection: Connection) -> None:
    """SQLite does not look at references while a backup is restored; PostgreSQL has done so with each row."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
    if broken:
        raise MaintenanceError(f"{len(broken)} rows refer to others that are not there, such as in {broken[0][0]}.")


def _put(store: ArtifactStore, found: SourceObject) -> int:
    if found.size_bytes <= _SMALL_BYTES:
        store.put_new(found.path, b"".join(found.pieces))
    else:
        store.put_stream(found.path, found.pieces)
    details = store.details(found.path)
    if details is None or details.size_bytes != found.size_bytes:
        raise MaintenanceError(f"The object {found.path} did not arrive whole in the store.")
    return 1
