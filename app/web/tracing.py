"""A span for each request, for services that are traced."""

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.tracing import TRACEPARENT, span, traceparent_here
from app.web.metrics import route_of


class TracingMiddleware:
    """Goes on with the trace of the caller's `traceparent`; log lines and jobs of the request carry the trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(TRACEPARENT)
        parent = {TRACEPARENT: given} if given else {}
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with span(scope["method"], parent, is_request=True) as opened:
            with structlog.contextvars.bound_contextvars(**traceparent_here()):
                await self._app(scope, receive, noting_send)
            if opened is not None:
                route = route_of(scope)
                opened.update_name(f"{scope['method']} {route}")
                opened.set_attributes(
                    {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
                )
