"""Tables of who may use the service: keys, what tenants may have, and what was done or refused."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.orm import Base, JsonObject, utc_now
from app.core.tenants import MAX_TENANT_LENGTH


class Tenant(Base):
    """A group that shares data, models and jobs, and sees no other's. `quotas` replace those of the settings."""

    __tablename__ = "tenant"

    name: Mapped[str] = mapped_column(String(MAX_TENANT_LENGTH), primary_key=True)
    quotas: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ApiKey(Base):
    """A key of a tenant. Of the key itself only the sha256 is kept; `prefix` is the part that may be shown."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str]
    tenant: Mapped[str] = mapped_column(ForeignKey("tenant.name"), index=True)
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(JsonObject)
    requests_per_minute: Mapped[int | None]
    replaces: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class AuditEvent(Base):
    """One call that changed something or was refused; the database refuses to change or remove a row."""

    __tablename__ = "audit_event"
    __table_args__ = (Index(None, "at"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=utc_now)
    tenant: Mapped[str | None]
    actor: Mapped[str]
    key_id: Mapped[str | None]
    address: Mapped[str]
    action: Mapped[str]
    object: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str]  # "done" | "refused" | "failed"
    status: Mapped[int | None]
    detail: Mapped[str] = mapped_column(Text, default="")
    request_id: Mapped[str]
