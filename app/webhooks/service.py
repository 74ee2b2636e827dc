"""Receivers and messages, as a tenant sees its own."""

from datetime import datetime
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlalchemy.orm import Session

from app.core.cursor import decode_instant_cursor, encode_cursor
from app.core.errors import (
    DeliveryEnded,
    DeliveryNotFound,
    QuotaExceeded,
    WebhookDisabled,
    WebhookNotFound,
)
from app.core.orm import utc_now
from app.core.settings import WebhookSettings
from app.webhooks.addresses import refuse_inner
from app.webhooks.kinds import DeliveryStatus, WebhookEvent
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.webhooks.outbox import write_message
from app.webhooks.schemas import DeliveryRead, WebhookAttempt, WebhookCreate, WebhookCreated, WebhookRead
from app.webhooks.signing import new_secret

MAX_WEBHOOKS = 50


class WebhookService:
    """Works in the caller's transaction and never commits."""

    def __init__(self, session: Session, settings: WebhookSettings) -> None:
        self._session = session
        self._settings = settings

    def create(self, request: WebhookCreate) -> WebhookCreated:
        """Raises WebhookRefused for an address inside, QuotaExceeded."""
        refuse_inner(request.url, allow_private=self._settings.allow_private)
        if (self._session.scalar(select(func.count()).select_from(WebhookEndpoint).where(_LASTING)) or 0) >= (
            MAX_WEBHOOKS
        ):  # fmt: skip
            raise QuotaExceeded(f"There are {MAX_WEBHOOKS} webhooks already, the most a tenant may have: delete one.")
        secret = request.secret if request.secret is not None else SecretStr(new_secret())
        endpoint = WebhookEndpoint(
            id=f"wh_{uuid4().hex}", url=request.url, secret=secret, description=request.description,
            events=[event.value for event in dict.fromkeys(request.events)], created_at=utc_now(),
        )  # fmt: skip
        self._session.add(endpoint)
        self._session.flush()
        shown = WebhookRead.model_validate(endpoint)
        return WebhookCreated(**shown.model_dump(), secret=secret.get_secret_value())

    def all(self) -> list[WebhookRead]:
        """Oldest first, without those of single jobs."""
        query = select(WebhookEndpoint).where(_LASTING).order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)
        return [WebhookRead.model_validate(endpoint) for endpoint in self._session.scalars(query)]

    def get(self, webhook_id: str) -> WebhookRead:
        """Raises WebhookNotFound."""
        return WebhookRead.model_validate(self._endpoint(webhook_id))

    def delete(self, webhook_id: str) -> None:
        """With its messages, sent or not. Raises WebhookNotFound."""
        self._endpoint(webhook_id)
        self._session.execute(delete(WebhookDelivery).where(WebhookDelivery.endpoint_id == webhook_id))
        self._session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == webhook_id))

    def test(self, webhook_id: str) -> DeliveryRead:
        """Write a message that tells of nothing. Raises WebhookNotFound, WebhookDisabled."""
        endpoint = self._endpoint(webhook_id)
        if endpoint.disabled_at is not None:
            raise WebhookDisabled(f"Nothing is sent to {webhook_id}: {endpoint.disabled_reason}")
        row = write_message(endpoint, WebhookEvent.TEST, None, {"webhook_id": webhook_id})
        self._session.add(row)
        self._session.flush()
        return _read(row)

    def deliveries(
        self, webhook_id: str | None, job_id: str | None, status: DeliveryStatus | None, cursor: str | None, limit: int
    ) -> tuple[list[DeliveryRead], str | None]:
        """One page, newest first, and the cursor of the next one."""
        query = select(WebhookDelivery)
        wanted = (
            (WebhookDelivery.endpoint_id, webhook_id), (WebhookDelivery.job_id, job_id),
            (WebhookDelivery.status, status),
        )  # fmt: skip
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        if cursor is not None:
            query = query.where(_is_after(*decode_instant_cursor(cursor)))
        query = query.order_by(WebhookDelivery.created_at.desc(), WebhookDelivery.id.desc()).limit(limit + 1)
        rows = list(self._session.scalars(query))
        shown = rows[:limit]
        following = encode_cursor(shown[-1].created_at.isoformat(), shown[-1].id) if len(rows) > limit else None
        return [_read(row) for row in shown], following

    def retry(self, delivery_id: str) -> DeliveryRead:
        """Send a message that was given up once more, now. Raises DeliveryNotFound, DeliveryEnded, WebhookDisabled."""
        row = self._session.get(WebhookDelivery, delivery_id, with_for_update=True)
        if row is None:
            raise DeliveryNotFound(f"There is no message '{delivery_id}'.")
        if row.status == DeliveryStatus.DELIVERED:
            raise DeliveryEnded(f"Message {delivery_id} was taken by its receiver.")
        endpoint = self._endpoint(row.endpoint_id)
        if endpoint.disabled_at is not None:
            raise WebhookDisabled(f"Nothing is sent to {endpoint.id}: {endpoint.disabled_reason}")
        # A message that is on its way at this moment stays with its sender.
        told = row.log[-1]["attempt"] if row.log else 0
        is_on_its_way = row.status == DeliveryStatus.PENDING and row.attempts > told
        if not is_on_its_way:
            row.status, row.ended_at, row.next_attempt_at = DeliveryStatus.PENDING, None, utc_now()
            endpoint.quiet_until = None
        self._session.flush()
        return _read(row)

    def _endpoint(self, webhook_id: str) -> WebhookEndpoint:
        endpoint = self._session.get(WebhookEndpoint, webhook_id)
        if endpoint is None:
            raise WebhookNotFound(f"There is no webhook '{webhook_id}'.")
        return endpoint


_LASTING = WebhookEndpoint.job_id.is_(None)


def _is_after(created_at: datetime, delivery_id: str) -> ColumnElement[bool]:
    """Whether a message stands after this one in a list of the newest first."""
    place = tuple_(WebhookDelivery.created_at, WebhookDelivery.id)
    return place < tuple_(created_at, delivery_id)


def _read(row: WebhookDelivery) -> DeliveryRead:
    is_open = row.status == DeliveryStatus.PENDING
    return DeliveryRead(
        endpoint_id=row.endpoint_id, id=row.id, job_id=row.job_id, event=WebhookEvent(row.event),
        status=DeliveryStatus(row.status), attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if is_open else None, created_at=row.created_at, ended_at=row.ended_at,
        body=row.body, log=[WebhookAttempt.model_validate(entry) for entry in row.log],
    )  # fmt: skip
