"""Artifacts as immutable objects: a folder or an S3 bucket behind one interface."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from app.core.errors import ArtifactCorrupt
from app.core.settings import Settings

if TYPE_CHECKING:
    from obstore import ObjectMeta


REFRESH_AFTER = timedelta(minutes=30)
"""An object older than this that is stored again becomes new again, so that nobody clears it away as forgotten."""

_ABSENT = (FileNotFoundError, NotFoundError)


@dataclass(frozen=True, slots=True)
class StoredObject:
    path: str
    size_bytes: int
    modified_at: datetime


class ArtifactStore:
    """Objects that are written once and never changed. Paths are relative, with `/`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put_new(self, path: str, content: bytes) -> None:
        """Write an object that must not exist yet; the same content again is no error.

        An object is there whole or not at all. Raises ArtifactCorrupt when the path holds other content: paths carry
        the hash of what they hold.
        """
        while True:
            try:
                obstore.put(self._store, path, content, mode="create")
                return
            except AlreadyExistsError:
                with suppress(*_ABSENT):  # cleared away in this moment: then it is stored after all
                    self._keep(path, content)
                    return

    def _keep(self, path: str, content: bytes) -> None:
        """The object is there already: see that it is the same, and that it counts as new."""
        found = obstore.get(self._store, path)
        if bytes(found.bytes()) != content:
            raise ArtifactCorrupt(f"The stored object {path} differs from what was stored there first.") from None
        if found.meta["last_modified"] < datetime.now(UTC) - REFRESH_AFTER:
            obstore.put(self._store, path, content)

    def get(self, path: str) -> bytes:
        """The content; ArtifactCorrupt when the object is gone."""
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except _ABSENT:
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None

    def put_stream(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write an object of any size under a path nobody else uses; it is there whole or not at all."""
        obstore.put(self._store, path, pieces)

    def stream(self, path: str, piece_bytes: int = 8 << 20) -> Iterator[bytes]:
        """The content in pieces of about that size; ArtifactCorrupt when the object is gone."""
        try:
            found = obstore.get(self._store, path)
        except _ABSENT:
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None
        yield from (bytes(piece) for piece in found.stream(piece_bytes))

    def exists(self, path: str) -> bool:
        try:
            obstore.head(self._store, path)
        except _ABSENT:
            return False
        return True

    def delete(self, path: str) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            obstore.delete(self._store, path)
        except _ABSENT:
            return

    def details(self, path: str) -> StoredObject | None:
        """Size and age of an object; None when there is none."""
        try:
            return _stored(obstore.head(self._store, path))
        except _ABSENT:
            return None

    def walk(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects under a folder, in no order, as they are found."""
        for page in obstore.list(self._store, prefix or None):
            yield from (_stored(meta) for meta in page)

    def move(self, path: str, to: str) -> None:
        """Rename an object; ArtifactCorrupt when there is none."""
        try:
            obstore.rename(self._store, path, to)
        except _ABSENT:
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None

    def copy(self, path: str, to: str) -> None:
        """The same content under a path nobody else uses; ArtifactCorrupt when there is none."""
        try:
            obstore.copy(self._store, path, to)
        except _ABSENT:
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None

    def list(self, prefix: str = "") -> list[str]:
        """Paths of all objects under a folder, sorted."""
        return sorted(found.path for found in self.walk(prefix))


def open_store(settings: Settings) -> ArtifactStore:
    """The store of this installation. S3 takes its credentials and endpoint from the usual `AWS_*` variables."""
    return open_store_at(settings.resolved_store_url)


def open_store_at(url: str) -> ArtifactStore:
    """The store at a `file:///` or `s3://` URL."""
    if url.startswith("s3://"):
        return ArtifactStore(S3Store.from_url(url))
    return ArtifactStore(LocalStore(unquote(urlparse(url).path), mkdir=True))


def _stored(meta: "ObjectMeta") -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"])
