"""Every request has an id: taken from X-Request-ID or made here, on each log line and on the answer."""

import re
import time
from collections.abc import Callable
from http import HTTPStatus
from secrets import token_hex
from typing import cast

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.logging import PlainLines, get_logger

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_SCOPE_KEY = "xtalforge.request_id"

# (scope) -> the body and media type of the answer to an unexpected error
ErrorBody = Callable[[Scope], tuple[bytes, str]]

log = get_logger(__name__)
lines = PlainLines(__name__)


def request_id_of(scope: Scope) -> str:
    return cast(str, scope.get(_SCOPE_KEY, ""))


class RequestIdMiddleware:
    """Outermost: binds the id, logs one line per request, and answers 500 for what nothing else caught.

    The traceback goes to the log with the id; the client gets the id only.
    """

    def __init__(self, app: ASGIApp, error_body: ErrorBody) -> None:
        self._app = app
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        request_id = given if _ACCEPTED.fullmatch(given) else token_hex(16)
        scope[_SCOPE_KEY] = request_id
        status: int | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            started = time.perf_counter()
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                log.exception("unexpected error", method=scope["method"], path=scope["path"])
                if status is not None:
                    raise
                await self._answer_error(scope, send_with_id)
            finally:
                _log_request(scope, status, time.perf_counter() - started)

    async def _answer_error(self, scope: Scope, send: Send) -> None:
        body, media_type = self._error_body(scope)
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": HTTPStatus.INTERNAL_SERVER_ERROR.value, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})


def _log_request(scope: Scope, status: int | None, elapsed_s: float) -> None:
    write = log.debug if scope["path"].startswith("/health") else lines.info
    write("request", method=scope["method"], path=scope["path"], status=status, elapsed_s=round(elapsed_s, 4))
