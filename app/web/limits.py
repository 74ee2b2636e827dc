"""The size of a request body, bounded while it arrives."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import PayloadTooLarge
from app.web.problems import send_problem

# A JSON body is parsed in one piece on the event loop: larger inputs go through an upload, which is spooled to disk.
MAX_JSON_BYTES = 32_000_000


class _BodyTooLarge(Exception):
    pass


class BodyLimitMiddleware:
    """Answers 413 to a body over the limit, whether it declares its length or comes in chunks.

    What is left of a refused body is read and thrown away, up to the same limit again: most clients only look for the
    answer when they have sent everything.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, uploads: Mapping[str, int] | None = None) -> None:
        """`uploads` are other limits, for uploads to these paths."""
        self._app = app
        self._max_bytes = max_bytes
        self._uploads = uploads or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").startswith("multipart/form-data")
        upload_limit = self._uploads.get(scope["path"], self._max_bytes)
        limit = upload_limit if is_upload else min(self._max_bytes, MAX_JSON_BYTES)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await self._refuse(scope, receive, send, limit, is_complete=False)
            return
        received = 0
        refused = False
        is_complete = False
        started = False

        async def counted_receive() -> Message:
            nonlocal received, refused, is_complete
            message = await receive()
            is_complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > limit:
                refused = True
                raise _BodyTooLarge
            return message

        async def guarded_send(message: Message) -> None:
            # A framework may turn the exception above into an answer of its own.
            nonlocal started
            if not refused or started:
                started = True
                await send(message)

        try:
            await self._app(scope, counted_receive, guarded_send)
        except _BodyTooLarge:
            refused = True
        if refused and not started:
            await self._refuse(scope, receive, send, limit, is_complete=is_complete)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, limit: int, *, is_complete: bool) -> None:
        if not is_complete:
            await _drain(receive, max(limit, self._max_bytes))
        error = PayloadTooLarge(
            f"The request body may have {limit:,} bytes at most here. Send fewer inputs at a time, or upload a file.",
            limit_bytes=limit,
        )
        await send_problem(scope, send, error, [(b"connection", b"close")])


async def _drain(receive: Receive, max_bytes: int) -> None:
    drained = 0
    while drained <= max_bytes:
        message = await receive()
        drained += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
