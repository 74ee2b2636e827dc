"""What every answer tells browsers: load nothing from elsewhere, guess no types, show it in no foreign frame.

And caches on the way: answers of the API are for whoever asked.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Scripts and styles come from files of this service alone."""

_API = "/v1/"
_NOT_KEPT = (b"cache-control", b"no-store")
_CSP = b"content-security-policy"
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeadersMiddleware:
    """A route may set a Content-Security-Policy of its own. `behind_tls`: browsers shall insist on https."""

    def __init__(self, app: ASGIApp, *, behind_tls: bool) -> None:
        self._app = app
        self._headers = [*_HEADERS, _HSTS] if behind_tls else _HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *self._headers]
                if not any(name == _CSP for name, _ in headers):
                    headers.append((_CSP, CONTENT_SECURITY_POLICY.encode()))
                if scope["path"].startswith(_API) and not any(name == _NOT_KEPT[0] for name, _ in headers):
                    headers.append(_NOT_KEPT)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_headers)
