"""Messages on their way: written with what they tell of, claimed by one sender at a time, kept as the log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.orm import Session

from app.core.orm import utc_now
from app.core.settings import WebhookSettings
from app.webhooks.kinds import JOB_EVENTS, DeliveryStatus, WebhookEvent
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.webhooks.sending import GONE, Outcome

CLAIM_MARGIN_S = 50.0
"""How much longer than its own deadline an attempt is waited for: looking up a name has no deadline."""
MAX_QUIET_S = 60.0
_GROWTH = 4
_LONGEST_WAIT_S = 12 * 3600.0
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process is to send now, as attempt number `attempt`."""

    id: str
    endpoint_id: str
    attempt: int
    url: str
    secret: SecretStr | None
    body: str


def write_message(endpoint: WebhookEndpoint, event: WebhookEvent, job_id: str | None, data: Mapping[str, Any]) -> (
    WebhookDelivery
):  # fmt: skip
    """A message that is due at once; the caller adds it to its transaction."""
    now = utc_now()
    body = json.dumps({"type": event.value, "timestamp": now.isoformat(timespec="seconds"), "data": dict(data)})
    return WebhookDelivery(
        tenant=endpoint.tenant, id=f"msg_{uuid4().hex}", endpoint_id=endpoint.id, job_id=job_id, event=event.value,
        body=body, status=DeliveryStatus.PENDING, attempts=0, next_attempt_at=now, log=[], created_at=now,
    )  # fmt: skip


def announce_end(session: Session, tenant: str, job_id: str, event: WebhookEvent, data: Mapping[str, Any]) -> None:
    """Write a message to each receiver of this job's end, in the transaction that ends it."""
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.tenant == tenant, WebhookEndpoint.disabled_at.is_(None),
        or_(WebhookEndpoint.job_id == job_id, WebhookEndpoint.job_id.is_(None)),
    )  # fmt: skip
    for endpoint in session.scalars(query):
        if event.value in endpoint.events:
            session.add(write_message(endpoint, event, job_id, data))


def endpoint_of_job(tenant: str, job_id: str, url: str, secret: SecretStr | None) -> WebhookEndpoint:
    """The receiver that a job names for itself."""
    return WebhookEndpoint(
        tenant=tenant, id=f"wh_{uuid4().hex}", url=url, secret=secret, events=[event.value for event in JOB_EVENTS],
        job_id=job_id,
    )  # fmt: skip


class Outbox:
    """Works in the caller's transaction. Any number of processes may send from one outbox."""

    def __init__(self, session: Session, settings: WebhookSettings) -> None:
        self._session = session
        self._settings = settings

    def due(self) -> Sequence[str]:
        """Ids of some messages whose time has come, the longest overdue first."""
        now = utc_now()
        query = (
            select(WebhookDelivery.id).join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(
                WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_attempt_at <= now,
                or_(WebhookEndpoint.quiet_until.is_(None), WebhookEndpoint.quiet_until <= now),
            )
            .order_by(WebhookDelivery.next_attempt_at).limit(_LOOKED_AT)
        )  # fmt: skip
        return self._session.scalars(query).all()

    def claim(self, delivery_id: str) -> Claimed | None:
        """Take the message; None when another process has it, or it or its receiver is gone.

        A claim lapses by itself: a sender that was killed costs an attempt and the time the claim holds.
        """
        now = utc_now()
        until = now + timedelta(seconds=self._settings.timeout_s + CLAIM_MARGIN_S)
        row = self._session.get(WebhookDelivery, delivery_id)
        if row is None or not self._silence(row.endpoint_id, now, until):
            return None
        attempt = row.attempts + 1
        is_mine = self._update(row.id, row.attempts, attempts=attempt, next_attempt_at=until)
        endpoint = self._session.get(WebhookEndpoint, row.endpoint_id)
        if not is_mine or endpoint is None:
            # Somebody else sent it between the two looks; the next message to this receiver need not wait.
            self._update_endpoint(row.endpoint_id, quiet_until=None)
            return None
        if endpoint.disabled_at is not None:
            self._update(row.id, attempt, status=DeliveryStatus.FAILED, ended_at=now)
            self._update_endpoint(endpoint.id, quiet_until=None)
            return None
        return Claimed(row.id, endpoint.id, attempt, endpoint.url, endpoint.secret, row.body)

    def record(self, claimed: Claimed, outcome: Outcome) -> None:
        """Write down what came of an attempt, and when the next one is; nothing when the claim has lapsed."""
        now = utc_now()
        row = self._session.get(WebhookDelivery, claimed.id)
        if row is None or row.attempts != claimed.attempt:
            return
        entry = {
            "attempt": claimed.attempt, "at": now.isoformat(timespec="seconds"), "status_code": outcome.status_code,
            "error": outcome.error, "seconds": outcome.seconds,
        }  # fmt: skip
        is_last = outcome.status_code == GONE or claimed.attempt >= self._settings.max_attempts
        values: dict[str, Any] = {"log": [*row.log, entry]}
        quiet_until: datetime | None = None
        if outcome.error is None:
            values |= {"status": DeliveryStatus.DELIVERED, "ended_at": now}
        elif is_last:
            values |= {"status": DeliveryStatus.FAILED, "ended_at": now}
        else:
            wait_s = max(self.wait_s(claimed.attempt), outcome.retry_after_s or 0.0)
            values |= {"next_attempt_at": now + timedelta(seconds=wait_s)}
            quiet_until = now + timedelta(seconds=outcome.retry_after_s or min(wait_s, MAX_QUIET_S))
        if self._update(claimed.id, claimed.attempt, **values):
            disabled = {"disabled_at": now, "disabled_reason": "The receiver answered 410: it wants no more messages."}
            self._update_endpoint(
                claimed.endpoint_id, quiet_until=quiet_until, **(disabled if outcome.status_code == GONE else {})
            )

    def wait_s(self, attempt: int) -> float:
        """How long after the failure of this attempt the next one comes: 5 s, 20 s, 80 s, ... up to 12 hours."""
        return min(self._settings.first_retry_s * float(_GROWTH) ** (attempt - 1), _LONGEST_WAIT_S)

    def forget_old(self) -> None:
        """Delete messages that ended long ago, with the receivers that single jobs named."""
        before = utc_now() - timedelta(days=self._settings.keep_days)
        old = (WebhookDelivery.status != DeliveryStatus.PENDING, WebhookDelivery.created_at < before)
        endpoints = select(WebhookDelivery.endpoint_id).where(*old)
        of_jobs = delete(WebhookEndpoint).where(WebhookEndpoint.job_id.is_not(None), WebhookEndpoint.id.in_(endpoints))
        self._session.execute(of_jobs, execution_options={"synchronize_session": False})
        self._session.execute(delete(WebhookDelivery).where(*old), execution_options={"synchronize_session": False})

    def _silence(self, endpoint_id: str, now: datetime, until: datetime) -> bool:
        """Keep other senders from the receiver; False when another one is at it."""
        is_free = or_(WebhookEndpoint.quiet_until.is_(None), WebhookEndpoint.quiet_until <= now)
        statement = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, is_free)
        return self._changed(statement.values(quiet_until=until))

    def _update_endpoint(self, endpoint_id: str, **values: Any) -> None:
        self._changed(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).values(**values))

    def _update(self, delivery_id: str, attempt: int, **values: Any) -> bool:
        statement = update(WebhookDelivery).where(
            WebhookDelivery.id == delivery_id, WebhookDelivery.attempts == attempt,
            WebhookDelivery.status == DeliveryStatus.PENDING,
        )  # fmt: skip
        return self._changed(statement.values(**values))

    def _changed(self, statement: Any) -> bool:
        result = self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount == 1
