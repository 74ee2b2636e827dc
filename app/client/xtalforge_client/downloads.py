"""Files that come over connections which may break."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import IO, Self

import httpx

from xtalforge_client.calls import Call


class Partial:
    """What there is of a file, beside its final place; a context manager that removes what did not become complete."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._etag: str | None = None

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def continued(self, call: Call) -> Call:
        """The call for what is missing; for everything when the server named no version to go on with."""
        if self._etag is None or not self.n_bytes:
            return call
        return replace(call, headers={**call.headers, "Range": f"bytes={self.n_bytes}-", "If-Range": self._etag})

    @contextmanager
    def opened(self, response: httpx.Response) -> Iterator[IO[bytes]]:
        """Where the answer is to be written: at the end of what there is, or from the beginning."""
        etag = response.headers.get("etag")
        self._etag = etag if etag and not etag.startswith("W/") else None
        with self.path.open("ab" if response.status_code == HTTPStatus.PARTIAL_CONTENT else "wb") as file:
            yield file

    def complete(self) -> Path:
        """Move it to its place."""
        self.path.replace(self.target)
        return self.target
