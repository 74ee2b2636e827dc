"""Calls of a running server, for commands with `--server`; sent, tried again and resumed as `xtalforge_client` does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from app.core.errors import InvalidRequest, KeyMissing, XtalforgeError
from app.core.settings import Settings

if TYPE_CHECKING:
    from xtalforge_client.calls import Call

TIMEOUT_S = 120.0
ATTEMPTS = 4
NO_KEY = "This server answers only with an API key, which its administrator makes: put it into XTALFORGE_API_KEY."


class ServerError(XtalforgeError):
    """What the server answered, or why it did not; `code` is the server's."""

    title = "The server refused"

    def __init__(
        self,
        detail: str,
        server_code: str = "server_unreachable",
        status: int = 502,
        body: dict[str, Any] | None = None,
    ) -> None:
        """`status` and `body` are those of the answer; 502 where there was none."""
        super().__init__(detail)
        self.status = status  # type: ignore[misc]
        self.code = server_code  # type: ignore[misc]
        self.body = body or {}


class CannotWrite(XtalforgeError):
    code, title = "cannot_write", "A file cannot be written"


class Server:
    """A client of one server, with the key of the settings; use it as a context manager. Calls raise ServerError."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, attempts: int = ATTEMPTS) -> None:
        """`transport` is how to reach it, where that is not the network."""
        from xtalforge_client._sync.transport import Transport
        from xtalforge_client.retry import RetryPolicy

        key = Settings().api_key if transport is None else None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            http = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT_S, headers=headers, transport=transport)
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidRequest(f"{url!r} is no URL of a server: {error}.") from None
        self._transport = Transport(http, RetryPolicy(attempts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.http.close()

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        return self._json(_call("GET", path, params=parameters))

    def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All items of a list, whatever its pages."""
        from xtalforge_client._sync.jobs import all_pages

        with self._told():
            return list(all_pages(self._transport, _call("GET", path, params=parameters)))

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """POST, PUT or DELETE of what must not happen twice; an answer without content is empty here."""
        return self._json(_call(method, path, json=body, headers=headers or {}, is_repeatable=False))

    def compute(self, path: str, body: Any) -> dict[str, Any]:
        """POST that stores nothing, and is sent again when its answer was lost."""
        return self._json(_call("POST", path, json=body))

    def create(
        self, path: str, body: Any = None, *, file: Path | None = None, fields: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """POST with JSON, or a file with form fields; sent again after a lost answer it still makes one thing."""
        from xtalforge_client.calls import new_idempotency_key

        files = [("file", (file.name, file))] if file is not None else []
        headers = new_idempotency_key(None)
        return self._json(_call("POST", path, json=body, files=files, form=fields or {}, headers=headers))

    def text(self, path: str, accept: str) -> str:
        """An answer that is no JSON."""
        return self._answer(_call("GET", path, headers={"Accept": accept})).text

    def content(self, path: str) -> bytes:
        """A small file, whole."""
        return self._answer(_call("GET", path)).content

    def download(self, path: str, parameters: dict[str, str], target: Path) -> None:
        """Write the body of an answer to a file, however large it is; the file is there whole or not at all."""
        try:
            with self._told():
                self._transport.download(_call("GET", path, params=parameters), target)
        except OSError as error:
            raise CannotWrite(f"{target} cannot be written: {error.strerror}.") from None

    def _json(self, call: "Call") -> dict[str, Any]:
        answer = self._answer(call)
        if answer.status_code == HTTPStatus.NO_CONTENT:
            return {}
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            where = f"{call.method} {answer.url.path}"
            raise ServerError(f"{self._transport.http.base_url} is no Xtalforge server: {where} gave no JSON.")
        return body

    def _answer(self, call: "Call") -> httpx.Response:
        with self._told():
            return self._transport.send(call)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from xtalforge_client import ServerError as Refused
        from xtalforge_client import ServerUnreachable

        try:
            yield
        except Refused as error:
            detail = NO_KEY if error.code == KeyMissing.code else error.detail
            raise ServerError(detail, error.code, error.status, error.problem) from None
        except ServerUnreachable as error:
            raise ServerError(f"{self._transport.http.base_url} does not answer: {error.__cause__ or error}.") from None


def _call(method: str, path: str, **arguments: Any) -> "Call":
    """`path` as it is, with whatever people typed into it."""
    from xtalforge_client.calls import Call

    return Call(method, quote(path), **arguments)
