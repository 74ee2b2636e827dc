"""Events of a job, as a list or followed live."""

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import JobNotFound
from app.fine_tuning.schemas import JobEventList, JobEventRead
from app.fine_tuning.spec import FINE_TUNING
from app.jobs.repository import JobRepository
from app.jobs.status import JobStatus

POLL_S = 0.5
EVENTS_PER_READ = 1000


class EventStream:
    """A position in the events of one job. Each read is a short transaction, so that no stream holds a connection."""

    def __init__(self, sessions: sessionmaker[Session], job_id: str, after: int) -> None:
        self._sessions = sessions
        self._job_id = job_id
        self._after = after

    def check(self) -> JobStatus:
        """The job's state; raises JobNotFound."""
        with open_session(self._sessions, read_only=True) as session:
            job = JobRepository(session).get(self._job_id)
        if job is None or job.kind != FINE_TUNING:
            raise JobNotFound(f"There is no fine-tuning job '{self._job_id}'.")
        return JobStatus(job.status)

    def read(self, limit: int = EVENTS_PER_READ) -> JobEventList:
        """What is new since the last read. Raises JobNotFound."""
        # The state is read first: once it is terminal no event follows, so the list after it is complete.
        has_ended = self.check().is_terminal
        with open_session(self._sessions, read_only=True) as session:
            rows = JobRepository(session).events_after(self._job_id, self._after, limit)
        events = [JobEventRead.model_validate(row) for row in rows]
        self._after = events[-1].seq if events else self._after
        is_complete = has_ended and len(events) < limit
        return JobEventList(items=events, next=None if is_complete else self._after)

    async def follow(self) -> AsyncIterator[dict[str, str]]:
        """Server-sent events, the `seq` as their id, until nothing more will come."""
        while True:
            page = await asyncio.to_thread(self.read)
            for event in page.items:
                yield {"id": str(event.seq), "event": event.kind, "data": event.model_dump_json()}
            if page.next is None:
                return
            if len(page.items) < EVENTS_PER_READ:
                await asyncio.sleep(POLL_S)
