"""What jobs told on their way goes long after their end; what became of them stays."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.orm import utc_now
from app.core.settings import JobSettings
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.retention import prune_events
from app.jobs.service import JobService


def _job(sessions: sessionmaker[Session], ended_days_ago: float | None) -> str:
    """A job that told of four epochs and sent a message."""
    with open_session(sessions) as session:
        jobs = JobService(session, JobSettings())
        job = jobs.create(JobKind.FINE_TUNING, {})
        rows = JobRepository(session)
        for epoch in range(1, 5):
            rows.insert_event(job.id, level="info", kind="epoch", message="", data={"epoch": epoch})
        rows.insert_event(job.id, level="info", kind="message", message="started", data={})
        jobs.request_cancel(job.id)
        ended = utc_now() - timedelta(days=ended_days_ago) if ended_days_ago is not None else None
        session.execute(update(Job).where(Job.id == job.id).values(finished_at=ended))
        return job.id


def _told(sessions: sessionmaker[Session], job_id: str) -> list[tuple[str, int]]:
    with open_session(sessions, read_only=True) as session:
        events = JobRepository(session).events_after(job_id, 0, 100)
        return [(event.kind, event.data.get("epoch", 0)) for event in events]


def test_epochs_of_old_jobs_go(
    engine: Engine, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.jobs.retention.BATCH_ROWS", 2)
    old, older, young, still_open = (_job(sessions, days) for days in (91, 900, 89, None))
    whole = _told(sessions, young)
    assert [kind for kind, _ in whole].count("epoch") == 4
    before = utc_now() - timedelta(days=90)
    assert prune_events(engine, before, dry_run=True) == 6
    assert _told(sessions, old) == whole
    assert prune_events(engine, before) == 6
    kept = [entry for entry in whole if entry[0] != "epoch" or entry[1] == 4]
    assert _told(sessions, old) == _told(sessions, older) == kept, "the newest of each kind and all states stay"
    assert _told(sessions, young) == _told(sessions, still_open) == whole
    assert prune_events(engine, before) == 0
