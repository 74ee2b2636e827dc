"""Who asks: found out once for each request, before anything else of the application sees it."""

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.audit import AuditTrail, Entry
from app.access.gate import Gate, address_of_client, path_of, rule_of
from app.core.errors import XtalforgeError
from app.core.principal import Principal
from app.web.deps import PRINCIPAL_KEY, resources_in
from app.web.problems import send_problem
from app.web.request_id import request_id_of

_ANYBODY = "anybody"


class AccessMiddleware:
    """Gives every request its principal, or refuses it; writes what changes something into the audit log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        gate = resources_in(scope).get(Gate)
        rule = rule_of(scope)
        try:
            principal = await gate.principal(scope, rule)
        except XtalforgeError as error:
            gate.audit.note(_entry(scope, scope.get(PRINCIPAL_KEY), error.status, f"{error.code}: {error.detail}"))
            await send_problem(scope, send, error)
            return
        if principal is not None:
            scope[PRINCIPAL_KEY] = principal
            if rule.records(scope["method"]):
                send = _recording(scope, principal, gate.audit, send)
        await self._app(scope, receive, send)


def _recording(scope: Scope, principal: Principal, audit: AuditTrail, send: Send) -> Send:
    """Writes the entry before the answer begins: what a client knows to be done is in the log."""

    async def record_and_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            made = Headers(raw=message.get("headers", [])).get("location")
            await run_in_threadpool(audit.write, [_entry(scope, principal, message["status"], target=made)])
        await send(message)

    return record_and_send


def _entry(
    scope: Scope, principal: Principal | None, status: int, detail: str = "", target: str | None = None
) -> Entry:
    return Entry(
        tenant=principal.tenant if principal is not None else None,
        actor=(principal.name if principal is not None else "") or _ANYBODY,
        key_id=principal.key_id if principal is not None else None,
        address=address_of_client(scope),
        action=f"{scope['method']} {path_of(scope)}",
        object=target or path_of(scope),
        status=status,
        request_id=request_id_of(scope),
        detail=detail,
    )
