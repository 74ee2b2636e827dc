"""The SQL database: engine, sessions of one transaction each, and migrations run from the program."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session, sessionmaker

from app.core.errors import InvalidRequest, NotReady
from app.core.settings import PROJECT_ROOT

SQLITE_BUSY_TIMEOUT_S = 30
READ_ONLY_OPTION = "xtalforge_read_only"

MIGRATIONS_FOLDER = PROJECT_ROOT / "migrations"


def create_engine_for(url: str, *, enforce_foreign_keys: bool = True) -> Engine:
    """An engine for SQLite or PostgreSQL; nothing is connected yet.

    `enforce_foreign_keys=False` is for migrations: SQLite changes a table by replacing it.
    """
    if make_url(url).get_backend_name() != "sqlite":
        engine = create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20)
        event.listen(engine, "handle_error", _refuse_nul)
        return engine
    if database := make_url(url).database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S, "check_same_thread": False})
    _prepare_sqlite(engine, enforce_foreign_keys)
    return engine


def _prepare_sqlite(engine: Engine, enforce_foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        # The driver must not open transactions of its own: `_begin` decides how they start.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_S * 1000}")
        cursor.execute(f"PRAGMA foreign_keys={'ON' if enforce_foreign_keys else 'OFF'}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once, without waiting, when another one wrote in
        # between; taking the write lock at the start makes writers queue up instead.
        read_only = connection.get_execution_options().get(READ_ONLY_OPTION, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _refuse_nul(context: ExceptionContext) -> None:
    """PostgreSQL, unlike SQLite, cannot even be asked for a text with this character, and nobody means to."""
    import psycopg

    if isinstance(context.original_exception, psycopg.DataError) and "NUL" in str(context.original_exception):
        raise InvalidRequest("A text in the request holds the character NUL (U+0000): remove it.") from None


def is_database_away(error: BaseException) -> bool:
    """Whether the same may work a little later: no connection, one that broke, or a lock that others kept too long."""
    if isinstance(error, NoConnection):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    import psycopg  # not needed where the database is SQLite, and slow to start with

    return error.connection_invalidated or isinstance(error.orig, psycopg.OperationalError | psycopg.InterfaceError)


def database_away() -> NotReady:
    """What clients are told then."""
    return NotReady("The database does not answer. Send the same again a little later.", retry_after_s=5)


def session_factory(engine: Engine) -> sessionmaker[Session]:
    """Sessions whose objects stay readable after the commit; they reach no tenant's rows before `of_tenant`."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def open_session(factory: sessionmaker[Session], *, read_only: bool = False) -> Iterator[Session]:
    """One transaction: commit on success, rollback on error.

    A read-only one never waits for a writer; writing in it is an error on PostgreSQL and may fail on SQLite.
    """
    with factory.begin() as session:
        if read_only:
            session.connection(execution_options={READ_ONLY_OPTION: True, **_read_only_options(session)})
        yield session


def _read_only_options(session: Session) -> dict[str, Any]:
    return {"postgresql_readonly": True} if session.get_bind().dialect.name == "postgresql" else {}


def upgrade_to_head(url: str) -> None:
    """Bring the schema of the database to the newest revision; safe when several processes start at once."""
    command.upgrade(_alembic_config(url), "head")


def change_revision(url: str, current: str | None, wanted: str) -> None:
    """Bring the schema of an empty database to an older or newer revision. Raises alembic's CommandError."""
    is_behind = current is None or wanted not in {step.revision for step in _ancestors(current)}
    (command.upgrade if is_behind else command.downgrade)(_alembic_config(url), wanted)


def _ancestors(revision: str) -> list[Script]:
    """The revision and all before it."""
    return list(ScriptDirectory(str(MIGRATIONS_FOLDER)).iterate_revisions(revision, "base"))


def check(url: str) -> None:
    """Raise alembic's CommandError when the migrations do not lead to the tables the code declares."""
    config = _alembic_config(url)
    # It says on stdout what its not raising says too.
    config.stdout = io.StringIO()
    command.check(config)


def _alembic_config(url: str) -> Config:
    if not (MIGRATIONS_FOLDER / "env.py").is_file():
        raise FileNotFoundError(f"the migrations folder is missing: {MIGRATIONS_FOLDER}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config
