"""The end of old rows of the audit log, which the database lets nobody remove in any other way."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select, text

from app.access.models import AuditEvent

BATCH_ROWS = 5_000
"""Rows of one transaction: for as long as it lasts nobody else can write into the log."""

_LOCK_TIMEOUT = "5s"
_TABLE = AuditEvent.__tablename__
_SQLITE_TRIGGER = "audit_event_refuses_delete"
_POSTGRES_TRIGGER = "audit_event_is_append_only"


def prune_audit_log(engine: Engine, before: datetime, *, dry_run: bool = False) -> int:
    """Remove the rows that are older than `before`, and write into the log how many; that number.

    The log refuses to be changed by anybody else all the while. Raises SQLAlchemyError; what a round of rows has
    removed by then stays removed.
    """
    old = AuditEvent.at < before
    with engine.connect() as connection:
        n_old: int = connection.scalar(select(func.count()).select_from(AuditEvent).where(old)) or 0
    if dry_run:
        return n_old
    n_removed = 0
    while n_removed < n_old:
        with engine.begin() as connection, _trigger_lifted(connection):
            oldest = select(AuditEvent.id).where(old).order_by(AuditEvent.id).limit(BATCH_ROWS)
            n = connection.execute(delete(AuditEvent).where(AuditEvent.id.in_(oldest))).rowcount
            if n:
                connection.execute(insert(AuditEvent).values(_told(n, before)))
        if not n:  # another round was faster
            break
        n_removed += n
    return n_removed


@contextmanager
def _trigger_lifted(connection: Connection) -> Iterator[None]:
    """Within the transaction only: both databases keep every other writer out until it ends, and take back the change
    of the schema with all else when it fails."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.execute(text(f"ALTER TABLE {_TABLE} DISABLE TRIGGER {_POSTGRES_TRIGGER}"))
        yield
        connection.execute(text(f"ALTER TABLE {_TABLE} ENABLE TRIGGER {_POSTGRES_TRIGGER}"))
        return
    query = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name")
    definition = connection.execute(query, {"name": _SQLITE_TRIGGER}).scalar_one()
    connection.exec_driver_sql(f"DROP TRIGGER {_SQLITE_TRIGGER}")
    yield
    connection.exec_driver_sql(definition)


def _told(n: int, before: datetime) -> dict[str, object]:
    return {
        "actor": "upkeep", "address": "command line", "action": "audit prune", "object": _TABLE, "outcome": "done",
        "detail": f"{n} rows from before {before:%F %T} removed", "request_id": "",
    }  # fmt: skip
