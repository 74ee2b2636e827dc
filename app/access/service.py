"""API keys and tenants: made, listed, revoked, rotated. It flushes; the caller commits."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access.models import ApiKey, AuditEvent, Tenant
from app.access.tokens import new_token
from app.core.errors import InvalidName, InvalidRequest, NotFound
from app.core.orm import utc_now
from app.core.principal import KeyScope
from app.core.tenants import MAX_TENANT_LENGTH, SHARED

MAX_NAME_LENGTH = 100

_TENANT = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{MAX_TENANT_LENGTH - 1}}}")


class KeyNotFound(NotFound):
    code, title = "key_not_found", "No such key"


class MadeKey(NamedTuple):
    """`token` is the key itself: it cannot be shown again."""

    key: ApiKey
    token: str


class AccessService:
    """`actor` is who does it, for the audit log."""

    def __init__(self, session: Session, actor: str) -> None:
        self._session = session
        self._actor = actor

    def create_key(
        self, name: str, tenant: str, scopes: Sequence[KeyScope], expires_at: datetime | None,
        requests_per_minute: int | None = None,
    ) -> MadeKey:  # fmt: skip
        """A new key; its tenant is made where there is none of that name. Raises InvalidName, InvalidRequest."""
        name = " ".join(name.split())
        if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
            raise InvalidName(f"A key's name has 1 to {MAX_NAME_LENGTH} printable characters.")
        if not scopes:
            raise InvalidRequest(f"A key needs at least one scope: {', '.join(KeyScope)}.")
        self.ensure_tenant(tenant)
        made = self._add(name, tenant, sorted(set(scopes)), expires_at, requests_per_minute, replaces=None)
        self._record("keys create", made.key, f"{name}: {' '.join(made.key.scopes)}")
        return made

    def keys(self, tenant: str | None = None) -> list[ApiKey]:
        """Oldest first; of all tenants where none is named."""
        query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)
        return list(self._session.scalars(query if tenant is None else query.where(ApiKey.tenant == tenant)))

    def revoke_key(self, key_id: str) -> ApiKey:
        """Nobody can use it any more; doing so twice is doing so once. Raises KeyNotFound."""
        key = self._key(key_id)
        if key.revoked_at is None:
            key.revoked_at = utc_now()
            self._record("keys revoke", key, key.name)
        return key

    def rotate_key(self, key_id: str, grace: timedelta, expires_at: datetime | None) -> MadeKey:
        """A new key with the rights of the old one, which works on for the time of grace.

        Raises KeyNotFound, and InvalidRequest for a key that cannot be used any more.
        """
        key, now = self._key(key_id), utc_now()
        if state_of(key, now) != "valid":
            raise InvalidRequest(f"Key {key.id} is {state_of(key, now)}: make a new one.")
        scopes = [KeyScope(scope) for scope in key.scopes]
        made = self._add(key.name, key.tenant, scopes, expires_at, key.requests_per_minute, replaces=key.id)
        key.expires_at = min(filter(None, (key.expires_at, now + grace)))
        self._record("keys rotate", key, f"{key.name}: replaced by {made.key.id}, valid until {key.expires_at:%F %T}")
        return made

    def tenants(self) -> list[Tenant]:
        return list(self._session.scalars(select(Tenant).order_by(Tenant.name)))

    def ensure_tenant(self, name: str) -> Tenant:
        """Raises InvalidName."""
        if not _TENANT.fullmatch(name) or name == SHARED:
            raise InvalidName(
                f"{name[:MAX_TENANT_LENGTH]!r} is not a tenant's name: small letters, digits, '_' and '-', at most "
                f"{MAX_TENANT_LENGTH}, and not '{SHARED}'."
            )
        tenant = self._session.get(Tenant, name)
        if tenant is None:
            tenant = Tenant(name=name, quotas={})
            self._session.add(tenant)
            self._session.flush()
        return tenant

    def set_quotas(self, name: str, quotas: dict[str, int | None]) -> Tenant:
        """Replace those that are named; None = as in the settings again. Raises InvalidName."""
        tenant = self.ensure_tenant(name)
        kept = {**tenant.quotas, **quotas}
        tenant.quotas = {quota: most for quota, most in kept.items() if most is not None}
        self._session.add(_event(self._actor, name, None, "tenants set", name, str(tenant.quotas)))
        return tenant

    def _key(self, key_id: str) -> ApiKey:
        found = self._session.scalar(select(ApiKey).where((ApiKey.id == key_id) | (ApiKey.prefix == key_id)))
        if found is None:
            raise KeyNotFound(f"There is no key {key_id[:40]!r}: see `xtalforge keys list`.")
        return found

    def _add(
        self, name: str, tenant: str, scopes: Sequence[KeyScope], expires_at: datetime | None,
        requests_per_minute: int | None, replaces: str | None,
    ) -> MadeKey:  # fmt: skip
        token = new_token()
        key = ApiKey(
            id=f"key_{uuid4().hex}", prefix=token.prefix, sha256=token.sha256, tenant=tenant, name=name,
            scopes=[scope.value for scope in scopes], requests_per_minute=requests_per_minute, replaces=replaces,
            expires_at=expires_at,
        )  # fmt: skip
        self._session.add(key)
        self._session.flush()
        return MadeKey(key, token.token)

    def _record(self, action: str, key: ApiKey, detail: str) -> None:
        self._session.add(_event(self._actor, key.tenant, key.id, action, key.id, detail))


def state_of(key: ApiKey, now: datetime) -> str:
    """`valid`, `expired` or `revoked`."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


def _event(actor: str, tenant: str, key_id: str | None, action: str, target: str, detail: str) -> AuditEvent:
    return AuditEvent(
        tenant=tenant, actor=actor, key_id=key_id, address="command line", action=action, object=target,
        outcome="done", status=None, detail=detail, request_id="",
    )  # fmt: skip
