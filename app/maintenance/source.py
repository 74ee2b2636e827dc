"""What a backup is made of, wherever it comes from: a running installation or a file."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine

from app.core.errors import ArtifactCorrupt
from app.maintenance.errors import MaintenanceError
from app.maintenance.tables import TableRows, read_tables, snapshot
from app.registry.store import ArtifactStore

TRASH = "trash/"
"""Where the store keeps for a while what `gc` has taken away."""


class SourceObject(NamedTuple):
    """An object of the artifact store, its content in pieces."""

    path: str
    size_bytes: int
    pieces: Iterator[bytes]


class Source(ABC):
    """First all tables are taken, then all objects."""

    revision: str

    @abstractmethod
    def tables(self) -> Iterator[TableRows]: ...

    @abstractmethod
    def objects(self) -> Iterator[SourceObject]: ...


class Installation(Source):
    """Database and store of an installation, which may go on working: objects never change, and rows are those of one
    moment, before the objects are listed."""

    def __init__(self, connection: Connection, store: ArtifactStore) -> None:
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is None:
            raise MaintenanceError("The database is empty: there is nothing to save.")
        self.revision = revision
        self._connection = connection
        self._store = store

    def tables(self) -> Iterator[TableRows]:
        return read_tables(self._connection)

    def objects(self) -> Iterator[SourceObject]:
        for found in self._store.walk():
            if found.path.startswith(TRASH):
                continue
            try:
                pieces = self._store.stream(found.path)
                first = next(pieces, b"")
            except ArtifactCorrupt:  # deleted since it was listed, as the results of a bulk prediction may be
                continue
            yield SourceObject(found.path, found.size_bytes, _joined(first, pieces))


@contextmanager
def installation_source(engine: Engine, store: ArtifactStore) -> Iterator[Source]:
    """The installation as it is now."""
    with snapshot(engine) as connection:
        yield Installation(connection, store)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
