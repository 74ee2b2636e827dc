"""Artifacts as immutable objects: a folder or an S3 bucket behind one interface."""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import LocalStore, ObjectStore, S3Store

from app.core.errors import ArtifactCorrupt
from app.core.settings import Settings


class ArtifactStore:
    """Objects that are written once and never changed. Paths are relative, with `/`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put_new(self, path: str, content: bytes) -> None:
        """Write an object that must not exist yet; the same content again is no error.

        An object is there whole or not at all. Raises ArtifactCorrupt when the path holds other content: paths carry
        the hash of what they hold.
        """
        try:
            obstore.put(self._store, path, content, mode="create")
        except AlreadyExistsError:
            if self.get(path) != content:
                raise ArtifactCorrupt(f"The stored object {path} differs from what was stored there first.") from None

    def get(self, path: str) -> bytes:
        """The content; ArtifactCorrupt when the object is gone."""
        try:
            return bytes(obstore.get(self._store, path).bytes())
        except (FileNotFoundError, NotFoundError):
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None

    def put_stream(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write an object of any size under a path nobody else uses; it is there whole or not at all."""
        obstore.put(self._store, path, pieces)

    def stream(self, path: str, piece_bytes: int = 8 << 20) -> Iterator[bytes]:
        """The content in pieces of about that size; ArtifactCorrupt when the object is gone."""
        try:
            found = obstore.get(self._store, path)
        except (FileNotFoundError, NotFoundError):
            raise ArtifactCorrupt(f"The stored object {path} is missing.") from None
        yield from (bytes(piece) for piece in found.stream(piece_bytes))

    def exists(self, path: str) -> bool:
        try:
            obstore.head(self._store, path)
        except (FileNotFoundError, NotFoundError):
            return False
        return True

    def delete(self, path: str) -> None:
        """Remove an object; nothing happens when there is none."""
        try:
            obstore.delete(self._store, path)
        except (FileNotFoundError, NotFoundError):
            return

    def list(self, prefix: str = "") -> list[str]:
        """Paths of all objects under a folder, sorted."""
        pages = obstore.list(self._store, prefix or None)
        return sorted(meta["path"] for page in pages for meta in page)


def open_store(settings: Settings) -> ArtifactStore:
    """The store of this installation. S3 takes its credentials and endpoint from the usual `AWS_*` variables."""
    url = settings.resolved_store_url
    if url.startswith("s3://"):
        return ArtifactStore(S3Store.from_url(url))
    return ArtifactStore(LocalStore(unquote(urlparse(url).path), mkdir=True))
