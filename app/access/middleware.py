"""Who asks: found out once for each request, before anything else of the application sees it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.principal import OPERATOR
from app.web.deps import PRINCIPAL_KEY


class AccessMiddleware:
    """Gives every request its principal."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL_KEY] = OPERATOR
        await self._app(scope, receive, send)
