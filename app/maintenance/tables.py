"""All rows of a database, in a form that any other database takes: SQLite's in PostgreSQL, and the other way round.

Tables are read as they are, not as this version of the code declares them: rows of an older schema are kept too.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, Engine, LargeBinary, MetaData, Table, func, select, text
from sqlalchemy.sql.type_api import TypeEngine

from app.core.db import READ_ONLY_OPTION

BATCH_ROWS = 500
REVISION_TABLE = "alembic_version"

Row = list[Any]
"""The values of one row as JSON has them: instants in ISO 8601, bytes in base64."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one table, read as they are asked for."""

    name: str
    columns: Sequence[str]
    rows: Iterable[Row]


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees the database as it is now, whatever others write meanwhile; it keeps nobody waiting."""
    options: dict[str, Any] = {READ_ONLY_OPTION: True}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        # On SQLite the view begins with the first reading.
        connection.execute(text("SELECT 1 FROM alembic_version"))
        yield connection


def tables_of(connection: Connection) -> list[Table]:
    """Those of the application, each after the ones it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True
    return [table for table in metadata.sorted_tables if table.name != REVISION_TABLE]


def read_tables(connection: Connection) -> Iterator[TableRows]:
    """Every table; the rows of one have to be taken before the next table is asked for."""
    for table in tables_of(connection):
        yield TableRows(table.name, [column.name for column in table.columns], _read(connection, table))


def _read(connection: Connection, table: Table) -> Iterator[Row]:
    types = [column.type for column in table.columns]
    query = select(table).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=BATCH_ROWS).execute(query):
        yield [_plain(value, kind) for value, kind in zip(row, types, strict=True)]


def clear_tables(connection: Connection) -> None:
    """Delete all rows: those that the migrations themselves have put there."""
    for table in reversed(tables_of(connection)):
        # The audit log refuses to be asked at all.
        if connection.scalar(select(select(table).exists())):
            connection.execute(table.delete())


def count_rows(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables_of(connection)
    }


def write_table(connection: Connection, given: TableRows) -> int:
    """Insert the rows; how many there were. The table must be there, with these columns."""
    table = next(found for found in tables_of(connection) if found.name == given.name)
    types = [table.columns[column].type for column in given.columns]
    taken = 0
    for batch in _batches(_parents_first(table, given.columns, given.rows)):
        values = [
            {column: _typed(value, kind) for column, value, kind in zip(given.columns, row, types, strict=True)}
            for row in batch
        ]
        connection.execute(table.insert(), values)
        taken += len(batch)
    _advance_sequences(connection, table)
    return taken


def _parents_first(table: Table, columns: Sequence[str], rows: Iterable[Row]) -> Iterable[Row]:
    """Rows that refer to others of the same table, e.g. a model version to its parent, after those."""
    own = [key for key in table.foreign_keys if key.column.table is table]
    if not own:
        return rows
    parents = [(columns.index(key.parent.name), columns.index(key.column.name)) for key in own]
    return _sorted_by_parents(list(rows), parents)


def _sorted_by_parents(waiting: list[Row], parents: Sequence[tuple[int, int]]) -> Iterator[Row]:
    written: list[set[Any]] = [{None} for _ in parents]
    while waiting:
        ready: list[Row] = []
        left: list[Row] = []
        for row in waiting:
            is_ready = all(row[at] in known for (at, _), known in zip(parents, written, strict=True))
            (ready if is_ready else left).append(row)
        if not ready:  # a circle, or a parent that is not there: the database says which
            yield from left
            return
        for row in ready:
            for (_, key), known in zip(parents, written, strict=True):
                known.add(row[key])
        yield from ready
        waiting = left


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _advance_sequences(connection: Connection, table: Table) -> None:
    """Numbers that PostgreSQL gives itself must go on after those that were inserted."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        sequence = connection.scalar(
            text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
        )
        last = connection.scalar(select(func.max(column))) if sequence else None
        if last is not None:
            connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _plain(value: Any, kind: TypeEngine[Any]) -> Any:
    if isinstance(value, datetime):
        # SQLite has no time zones; what the application stores there is UTC.
        return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    if isinstance(kind, LargeBinary) and value is not None:
        return base64.b64encode(value).decode()
    return value


def _typed(value: Any, kind: TypeEngine[Any]) -> Any:
    if value is None:
        return None
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value)
    return base64.b64decode(value) if isinstance(kind, LargeBinary) else value
