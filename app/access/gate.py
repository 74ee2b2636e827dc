"""Decides on each request: who asks, and whether they may."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from app.access.audit import AuditTrail
from app.access.keyring import KeyRing
from app.access.openness import came_by_loopback, is_harmless_name, is_loopback
from app.access.policy import READS, Rule, rule_for
from app.access.throttle import SYNC_S, FailureThrottle, RateLimiter
from app.core.errors import CrossOrigin, HostNotTrusted, KeyInvalid, KeyMissing, NotReady, ScopeMissing, Unauthorized
from app.core.logging import get_logger
from app.core.principal import OPERATOR, Principal
from app.core.settings import Settings
from app.core.tenants import DEFAULT_TENANT
from app.web.deps import PRINCIPAL_KEY

T = TypeVar("T")

_BEARER = "bearer "

log = get_logger(__name__)


class Asking(NamedTuple):
    """What the headers of a request say about who asks, and from where."""

    token: str | None
    host: str
    origin: str | None


@dataclass(slots=True)
class Gate:
    """One for each API process."""

    settings: Settings
    keys: KeyRing
    limiter: RateLimiter
    failures: FailureThrottle
    audit: AuditTrail

    @classmethod
    def create(cls, settings: Settings, sessions: sessionmaker[Session]) -> "Gate":
        access = settings.access
        return cls(
            settings, KeyRing(sessions, access.cache_s), RateLimiter(settings.resolved_broker_url),
            FailureThrottle(settings.resolved_broker_url, access.failures_per_minute), AuditTrail(sessions),
        )  # fmt: skip

    async def principal(self, scope: Scope, rule: Rule) -> Principal | None:
        """Who asks, which it also writes into the scope once it is known; None on pages that everybody may see.

        Raises Unauthorized, Forbidden, RateLimited, NotReady.
        """
        if rule.is_public:
            return None
        asking = asking_of(scope)
        if asking.token is None:
            return await self._without_key(scope, rule, asking)
        self._check_host(asking.host, is_open=False)
        principal = self.keys.remembered(asking.token)
        if principal is None:
            principal = await self._verified(asking.token, address_of_client(scope))
        scope[PRINCIPAL_KEY] = principal
        _check_scope(principal, rule, scope["method"])
        most = principal.requests_per_minute or self.settings.access.requests_per_minute
        if most and principal.key_id is not None:
            self.limiter.count(principal.key_id, most)
        return principal

    async def run(self) -> None:
        """Until cancelled: share the counts of requests and wrong keys, write down refusals."""
        while True:
            await asyncio.sleep(SYNC_S)
            for counts in (self.limiter, self.failures):
                await run_in_threadpool(counts.sync)
            await run_in_threadpool(self.audit.flush)

    def close(self) -> None:
        """Blocks until the last refusals are written."""
        with suppress(Exception):
            self.audit.flush()
        for counts in (self.limiter, self.failures):
            counts.close()

    async def _without_key(self, scope: Scope, rule: Rule, asking: Asking) -> Principal:
        access = self.settings.access
        is_open = access.keys == "off" or (access.keys == "auto" and await self._is_open_here(scope))
        self._check_host(asking.host, is_open=is_open)
        if is_open:
            self._check_origin(scope["method"], asking)
            return OPERATOR
        if rule.is_metrics and (access.open_metrics or is_loopback(address_of_client(scope))):
            return OPERATOR
        raise KeyMissing(
            "This service needs an API key: send it as `Authorization: Bearer xf_...` or `X-API-Key: xf_...`. Its "
            "administrator makes one with `xtalforge keys create`."
        )

    async def _is_open_here(self, scope: Scope) -> bool:
        if not came_by_loopback(scope.get("server")):
            return False
        known = self.keys.has_keys()
        return not (await _asked_database(self.keys.look) if known is None else known)

    async def _verified(self, token: str, address: str) -> Principal:
        self.failures.check(address)
        try:
            return await _asked_database(self.keys.verify, token)
        except Unauthorized:
            self.failures.note(address)
            raise

    def _check_host(self, host: str, *, is_open: bool) -> None:
        """Without keys a page of another site could call the service under a name of its own that points here."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        trusted = self.settings.access.hosts
        if name in trusted or is_loopback(name.strip("[]")):
            return
        if trusted or (is_open and self.settings.access.keys == "auto" and not is_harmless_name(name.strip("[]"))):
            raise HostNotTrusted(
                f"This service does not go by the name {name[:100]!r}. Its administrator lists its names in "
                "XTALFORGE_ACCESS__TRUSTED_HOSTS."
            )

    def _check_origin(self, method: str, asking: Asking) -> None:
        """Without keys a page of another site could make the visitor's browser change things here."""
        if method in READS or asking.origin is None or asking.origin in self.settings.access.origins:
            return
        if asking.origin.partition("://")[2] != asking.host:
            raise CrossOrigin(
                f"A page of {asking.origin[:100]} may not change things here. The administrator lists sites that may "
                "in XTALFORGE_ACCESS__CORS_ORIGINS."
            )


async def _asked_database(ask: Callable[..., T], *arguments: str) -> T:
    """Raises NotReady when it does not answer: nobody is let in unseen."""
    try:
        return await run_in_threadpool(ask, *arguments)
    except SQLAlchemyError as error:
        log.warning("keys cannot be looked up", reason=str(error))
        raise NotReady("The service cannot look up keys at the moment.", retry_after_s=5) from None


def asking_of(scope: Scope) -> Asking:
    """Raises KeyInvalid for a bearer token that cannot be read."""
    authorization = api_key = origin = None
    host = ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"x-api-key":
            api_key = value.decode("latin-1")
        elif name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origin = value.decode("latin-1").lower()
    token = api_key
    # Of other kinds, such as Basic of a proxy in front, the service knows nothing.
    if authorization is not None and authorization[: len(_BEARER)].lower() == _BEARER:
        token = authorization[len(_BEARER) :].strip()
    if token is not None and not token.isascii():
        raise KeyInvalid("The service does not know this key, or it was revoked.")
    return Asking(token, host, origin)


def address_of_client(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def path_of(scope: Scope) -> str:
    """The path within the application, as routes have it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] or "/" if root and path.startswith(root) else path


def rule_of(scope: Scope) -> Rule:
    return rule_for(path_of(scope))


def _check_scope(principal: Principal, rule: Rule, method: str) -> None:
    needed = rule.scope_for(method)
    if rule.is_metrics and not principal.is_operator:
        raise ScopeMissing(f"Metrics are about all tenants: they need a key of '{DEFAULT_TENANT}' with scope 'admin'.")
    if needed is None or principal.allows(needed):
        return
    held = ", ".join(sorted(principal.scopes)) or "none"
    raise ScopeMissing(f"This call needs a key with scope '{needed}'; this key has {held}.", needed=needed)
