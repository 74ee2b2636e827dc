"""Queries of jobs and their events. Every write is one conditional UPDATE whose row count is the verdict."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.core.cursor import decode_instant_cursor, encode_cursor
from app.core.errors import JobNotFound
from app.core.orm import UtcDateTime, utc_now
from app.jobs.kinds import JobKind
from app.jobs.models import Job, JobEvent
from app.jobs.status import HELD, TERMINAL, JobStatus


class JobRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def now(self) -> datetime:
        """The one clock by which leases are measured: the database's.

        Worker machines may disagree about the time; a lease judged by two clocks could be stolen from a healthy
        worker. SQLite runs inside this process, on one machine, so there the process's clock is the database's.
        """
        if self._session.get_bind().dialect.name == "sqlite":
            return utc_now()
        return self._session.execute(select(func.clock_timestamp(type_=UtcDateTime()))).scalar_one()

    def add(self, job: Job) -> None:
        self._session.add(job)
        self._session.flush()

    def get(self, job_id: str) -> Job | None:
        return self._session.get(Job, job_id, populate_existing=True)

    def get_of_kind(self, job_id: str, kind: JobKind) -> Job:
        """Raises JobNotFound, also for a job of another kind."""
        job = self.get(job_id)
        if job is None or job.kind != kind:
            raise JobNotFound(f"There is no {kind.label} job '{job_id}'.")
        return job

    def lock(self, job_id: str) -> Job | None:
        """The row, locked until the transaction ends (SQLite locks the whole file when a transaction begins)."""
        return self._session.get(Job, job_id, populate_existing=True, with_for_update=True)

    def by_idempotency_key(self, kind: str, key: str) -> Job | None:
        return self._session.scalar(select(Job).where(Job.kind == kind, Job.idempotency_key == key))

    def kinds(self, job_ids: Sequence[str]) -> dict[str, str]:
        query = select(Job.id, Job.kind).where(Job.id.in_(job_ids))
        return {row.id: row.kind for row in self._session.execute(query)}

    def n_open(self) -> int:
        """How many jobs have not ended."""
        query = select(func.count()).select_from(Job).where(Job.status.not_in(TERMINAL))
        return self._session.scalar(query) or 0

    def page(
        self, kind: JobKind, statuses: Sequence[JobStatus], before: tuple[datetime, str] | None, limit: int
    ) -> list[Job]:
        """Jobs, newest first; `before` is (created_at, id) of the last one of the previous page."""
        query = select(Job).where(Job.kind == kind)
        if statuses:
            query = query.where(Job.status.in_(statuses))
        if before is not None:
            query = query.where(tuple_(Job.created_at, Job.id) < tuple_(*before))
        return list(self._session.scalars(query.order_by(Job.created_at.desc(), Job.id.desc()).limit(limit)))

    def page_at(
        self, kind: JobKind, statuses: Sequence[JobStatus], cursor: str | None, limit: int
    ) -> tuple[list[Job], str | None]:
        """One page, newest first, and the cursor of the next one. Raises InvalidRequest for a cursor of elsewhere."""
        jobs = self.page(kind, statuses, decode_instant_cursor(cursor) if cursor else None, limit + 1)
        shown = jobs[:limit]
        following = encode_cursor(shown[-1].created_at.isoformat(), shown[-1].id) if len(jobs) > limit else None
        return shown, following

    def update_where(self, job_id: str, *conditions: ColumnElement[bool], **values: Any) -> bool:
        """Write `values` if the job fulfils `conditions`; True when it did."""
        statement = update(Job).where(Job.id == job_id, *conditions).values(**values)
        result = self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount == 1

    def claimable(self, now: datetime) -> ColumnElement[bool]:
        """Queued, or running under a lease that ran out; attempts left; nobody asked to cancel."""
        lost = and_(Job.status == JobStatus.RUNNING, Job.lease_expires_at < now)
        is_open = or_(Job.status == JobStatus.QUEUED, lost)
        return and_(is_open, Job.attempts < Job.max_attempts, Job.cancel_requested.is_(False))

    def with_expired_lease(self, now: datetime, limit: int) -> list[Job]:
        query = (
            select(Job)
            .where(Job.status.in_(HELD), Job.lease_expires_at < now)
            .order_by(Job.lease_expires_at)
            .limit(limit)
        )
        return list(self._session.scalars(query.execution_options(populate_existing=True)))

    def shorten_leases(self, latest: datetime) -> int:
        """No lease lasts beyond `latest` any more; how many did."""
        statement = update(Job).where(Job.status.in_(HELD), Job.lease_expires_at > latest)
        result = self._session.execute(
            statement.values(lease_expires_at=latest), execution_options={"synchronize_session": False}
        )
        return cast("CursorResult[Any]", result).rowcount

    def running_of(self, worker_id: str) -> list[Job]:
        at_work = Job.status.in_((JobStatus.RUNNING, JobStatus.PAUSING))
        query = select(Job).where(at_work, Job.worker_id == worker_id)
        return list(self._session.scalars(query.execution_options(populate_existing=True)))

    def unsent(self, sent_before: datetime, lost: ColumnElement[bool], limit: int) -> list[str]:
        """Ids of queued jobs whose message never left or, of those that are `lost`, left before `sent_before`.

        The oldest come first.
        """
        due = or_(Job.enqueued_at.is_(None), and_(lost, Job.enqueued_at < sent_before))
        query = select(Job.id).where(Job.status == JobStatus.QUEUED, due).order_by(Job.created_at).limit(limit)
        return list(self._session.scalars(query))

    def insert_event(self, job_id: str, *, level: str, kind: str, message: str, data: dict[str, Any]) -> JobEvent:
        """Append an event. The caller holds the job's row, hence `seq` has neither gaps nor duplicates."""
        last = self._session.scalar(select(func.max(JobEvent.seq)).where(JobEvent.job_id == job_id))
        tenant = self._session.scalar(select(Job.tenant).where(Job.id == job_id))
        event = JobEvent(
            tenant=tenant, job_id=job_id, seq=(last or 0) + 1, level=level, kind=kind, message=message, data=data
        )
        self._session.add(event)
        self._session.flush()
        return event

    def events_after(self, job_id: str, after: int, limit: int) -> list[JobEvent]:
        query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
        return list(self._session.scalars(query.order_by(JobEvent.seq).limit(limit)))

    def last_events(self, job_ids: Sequence[str], kind: str) -> dict[str, dict[str, Any]]:
        """Data of the newest event of that kind of each job that has one."""
        newest = (
            select(func.max(JobEvent.id)).where(JobEvent.job_id.in_(job_ids), JobEvent.kind == kind)
            .group_by(JobEvent.job_id)
        )  # fmt: skip
        events = self._session.scalars(select(JobEvent).where(JobEvent.id.in_(newest)))
        return {event.job_id: event.data for event in events}

    def ended_among(self, job_ids: Sequence[str]) -> set[str]:
        query = select(Job.id).where(Job.id.in_(job_ids), Job.status.in_(TERMINAL))
        return set(self._session.scalars(query))


def lease_end(now: datetime, lease_s: float) -> datetime:
    return now + timedelta(seconds=lease_s)
