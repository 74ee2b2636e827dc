"""Names of tenants, and what somebody who acts for one may touch."""

from dataclasses import dataclass

DEFAULT_TENANT = "default"
"""The tenant of an installation that knows no others."""

SHARED = "shared"
"""Owner of what everybody may read: the shipped models. No tenant can have this name."""

MAX_TENANT_LENGTH = 63


@dataclass(frozen=True, slots=True)
class TenantScope:
    """What a session may see and change; `tenant` None = everything, which only the service itself may."""

    tenant: str | None
    may_write_shared: bool = False

    def may_write(self, tenant: str) -> bool:
        return self.tenant in (None, tenant) or (tenant == SHARED and self.may_write_shared)

    @property
    def writable(self) -> tuple[str, ...]:
        assert self.tenant is not None
        return (self.tenant, SHARED) if self.may_write_shared else (self.tenant,)


EVERY_TENANT = TenantScope(None, may_write_shared=True)
"""For what the service does by itself: claiming and reaping jobs, metrics, backups."""

SHARED_SCOPE = TenantScope(SHARED)
"""For registering what comes with the service."""

OPERATOR_SCOPE = TenantScope(DEFAULT_TENANT, may_write_shared=True)
"""For an installation that needs no keys, and for its command line."""
