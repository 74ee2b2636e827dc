"""The audit log: who did or was refused what, when, in rows that the database lets nobody change."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.access.models import AuditEvent
from app.core.db import open_session
from app.core.logging import get_logger, hide_credentials
from app.core.orm import utc_now

DONE, REFUSED, FAILED = "done", "refused", "failed"
_REFUSALS = (401, 403, 429)
MAX_WAITING = 1000
_SHORT, _LONG = 255, 2000

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one call. `object` is the path, or where what was made is found."""

    tenant: str | None
    actor: str
    key_id: str | None
    address: str
    action: str
    object: str
    status: int
    request_id: str
    detail: str = ""
    at: datetime = field(default_factory=utc_now)

    @property
    def outcome(self) -> str:
        if self.status in _REFUSALS:
            return REFUSED
        return DONE if self.status < 400 else FAILED


class AuditTrail:
    """Thread-safe. What changed something is written before its answer is sent; refusals wait a moment, and in a flood
    of them only the newest are kept, with a line in the log that says how many were not."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions
        self._waiting: deque[Entry] = deque()
        self._lost = 0
        self._lock = threading.Lock()

    def write(self, entries: Sequence[Entry]) -> None:
        """Blocks. A database that is away must not undo what was done: then the entries go to the log."""
        try:
            with open_session(self._sessions) as session:
                session.add_all([_row(entry) for entry in entries])
        except SQLAlchemyError as error:
            log.error("audit log not written", reason=str(error), entries=[asdict(entry) for entry in entries])

    def note(self, entry: Entry) -> None:
        """Write it at the next `flush`."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(entry)

    def flush(self) -> None:
        """Blocks."""
        with self._lock:
            entries, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost = 0
        if lost:
            log.warning("refusals left out of the audit log: too many at once", n=lost)
        if entries:
            self.write(entries)


def read_events(
    session: Session, *, tenant: str | None = None, since: datetime | None = None, outcome: str | None = None,
    limit: int = 100,
) -> list[AuditEvent]:  # fmt: skip
    """The newest that fit, oldest of them first."""
    query = select(AuditEvent)
    if tenant is not None:
        query = query.where(AuditEvent.tenant == tenant)
    if since is not None:
        query = query.where(AuditEvent.at >= since)
    if outcome is not None:
        query = query.where(AuditEvent.outcome == outcome)
    return list(session.scalars(query.order_by(AuditEvent.id.desc()).limit(limit)))[::-1]


def _row(entry: Entry) -> AuditEvent:
    return AuditEvent(
        at=entry.at, tenant=entry.tenant, actor=entry.actor[:_SHORT], key_id=entry.key_id,
        address=entry.address[:_SHORT], action=_storable(entry.action)[:_SHORT],
        object=_storable(entry.object)[:_LONG], outcome=entry.outcome, status=entry.status,
        detail=_storable(entry.detail)[:_LONG],
        request_id=entry.request_id[:_SHORT],
    )  # fmt: skip


def _storable(text: str) -> str:
    # PostgreSQL takes no NUL, and a path can hold one, or a key that somebody put there.
    return hide_credentials(None, "", text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
