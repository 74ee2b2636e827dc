"""Who asks, and what they may do. Every request and every worker acts as one principal of one tenant."""

from dataclasses import dataclass
from enum import StrEnum

from app.core.tenants import DEFAULT_TENANT, TenantScope


class KeyScope(StrEnum):
    """What an API key allows. `admin` allows everything."""

    PREDICT = "predict"
    TRAIN = "train"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """`key_id` is None where no key was needed."""

    tenant: str
    scopes: frozenset[KeyScope]
    key_id: str | None = None
    name: str = ""
    requests_per_minute: int | None = None

    def allows(self, scope: KeyScope) -> bool:
        return scope in self.scopes or KeyScope.ADMIN in self.scopes

    @property
    def is_operator(self) -> bool:
        """Whether this administers the whole installation: an administrator of the tenant it began with."""
        return self.tenant == DEFAULT_TENANT and KeyScope.ADMIN in self.scopes

    @property
    def tenant_scope(self) -> TenantScope:
        """What sessions on its behalf may see and change."""
        return TenantScope(self.tenant, may_write_shared=self.is_operator)


OPERATOR = Principal(DEFAULT_TENANT, frozenset(KeyScope))
"""Whoever uses an installation that needs no keys, and its command line."""
