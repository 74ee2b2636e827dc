"""Tables of webhooks: where messages go, and the messages themselves, which are the outbox and the log in one."""

from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Dialect, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from app.core.orm import Base, JsonObject, utc_now
from app.core.tenancy import Owned


class SecretText(TypeDecorator[SecretStr]):
    """A text that no repr, log or answer shows: whoever needs it has to ask for it by name."""

    impl = String(255)
    cache_ok = True

    def process_bind_param(self, value: SecretStr | None, _dialect: Dialect) -> str | None:
        return value.get_secret_value() if value is not None else None

    def process_result_value(self, value: str | None, _dialect: Dialect) -> SecretStr | None:
        return SecretStr(value) if value is not None else None


class WebhookEndpoint(Owned, Base):
    """A receiver: of the tenant's jobs, or with `job_id` of that job alone.

    `quiet_until` is set while a message is on its way and after a failure, so that one slow receiver keeps one
    sender busy at most.
    """

    __tablename__ = "webhook_endpoint"
    __table_args__ = (Index(None, "tenant", "job_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[SecretStr | None] = mapped_column(SecretText())
    events: Mapped[list[str]] = mapped_column(JsonObject)
    description: Mapped[str] = mapped_column(Text, default="")
    job_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    quiet_until: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(Text)


class WebhookDelivery(Owned, Base):
    """One message to one receiver. The row is written in the transaction that ends the job (outbox).

    `attempts` counts claims: whoever recorded an outcome wrote it for the attempt it claimed, so of two senders only
    the later one's counts. `log` has an entry for each attempt that came to an end.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (Index(None, "status", "next_attempt_at"), Index(None, "tenant", "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str | None]
    event: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    log: Mapped[list[dict[str, Any]]] = mapped_column(JsonObject, default=list)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    ended_at: Mapped[datetime | None]
