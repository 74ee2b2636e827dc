"""Old rows of the audit log go, the others stay, and nobody else can remove any."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from app.access.audit import AuditTrail, Entry
from app.access.models import AuditEvent
from app.access.retention import prune_audit_log
from app.core.db import open_session
from app.core.orm import utc_now
from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT


@pytest.fixture
def every(engine: Engine, sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    return of_tenant(sessions, EVERY_TENANT)


def _fill(every: sessionmaker[Session], *days: int) -> None:
    AuditTrail(every).write(
        [
            Entry(None, "me", None, "::1", "POST /v1/x", f"{n} days", 201, "r", at=utc_now() - timedelta(days=n))
            for n in days
        ]
    )


def _rows(every: sessionmaker[Session]) -> list[str]:
    with open_session(every, read_only=True) as session:
        return list(session.scalars(select(AuditEvent.object).order_by(AuditEvent.id)))


def test_old_rows_go_and_the_log_stays_closed(
    engine: Engine, every: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.access.retention.BATCH_ROWS", 2)
    _fill(every, 900, 500, 401, 399, 0)
    before = utc_now() - timedelta(days=400)
    assert prune_audit_log(engine, before, dry_run=True) == 3
    assert len(_rows(every)) == 5
    assert prune_audit_log(engine, before) == 3
    assert _rows(every) == ["399 days", "0 days", "audit_event", "audit_event"], "each removal is told of in the log"
    assert prune_audit_log(engine, before) == 0
    for change in (delete(AuditEvent), update(AuditEvent).values(actor="x")):
        with pytest.raises(DBAPIError, match="append-only"), open_session(every) as session:
            session.execute(change)


def test_a_round_that_fails_leaves_the_log_as_it_was(
    engine: Engine, every: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(every, 900)
    monkeypatch.setattr("app.access.retention._told", lambda *_: {"no_such_column": 1})
    with pytest.raises(Exception, match="no_such_column"):
        prune_audit_log(engine, utc_now())
    assert _rows(every) == ["900 days"]
    with pytest.raises(DBAPIError, match="append-only"), open_session(every) as session:
        session.execute(delete(AuditEvent))


def test_beside_a_service_that_writes(engine: Engine, every: sessionmaker[Session]) -> None:
    _fill(every, *[900] * 40)
    writer = threading.Thread(target=lambda: [_fill(every, 0) for _ in range(20)])
    removers = [threading.Thread(target=prune_audit_log, args=(engine, utc_now() - timedelta(days=1))) for _ in "ab"]
    for thread in (writer, *removers):
        thread.start()
    for thread in (writer, *removers):
        thread.join()
    rows = _rows(every)
    assert rows.count("0 days") == 20 and "900 days" not in rows
    with pytest.raises(DBAPIError, match="append-only"), open_session(every) as session:
        session.execute(delete(AuditEvent))
