"""Events of a job, as a list or followed live."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request
from sqlalchemy.orm import Session, sessionmaker
from sse_starlette import EventSourceResponse

from app.core.db import open_session
from app.core.errors import RateLimited
from app.jobs.kinds import JobKind
from app.jobs.repository import JobRepository
from app.jobs.schemas import JobEventList, JobEventRead
from app.jobs.status import JobStatus
from app.web.deps import principal_of

POLL_S = 0.5
MAX_STREAMS = 100
"""Most streams that one tenant follows at once in an API process: each asks the database twice a second."""
RETRY_AFTER_S = 30
HEARTBEAT_S = 15
EVENTS_PER_READ = 1000
EVENT_STREAM = "text/event-stream"
MAX_SEQ = 2**31 - 1

_streams: Counter[str] = Counter()
"""Those that are open in this process, by tenant."""

EventsAfter = Annotated[int, Query(ge=0, le=MAX_SEQ, description="Only events with a higher `seq`.")]
EventsLimit = Annotated[int, Query(ge=1, le=EVENTS_PER_READ, description="Most events in the answer.")]
LastEventId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_SEQ, description="Where a broken stream goes on.")
]


class EventStream:
    """A position in the events of one job. Each read is a short transaction, so that no stream holds a connection."""

    def __init__(self, sessions: sessionmaker[Session], kind: JobKind, job_id: str, after: int) -> None:
        self._sessions = sessions
        self._kind = kind
        self._job_id = job_id
        self._after = after

    def check(self) -> JobStatus:
        """The job's state; raises JobNotFound."""
        with open_session(self._sessions, read_only=True) as session:
            return JobStatus(JobRepository(session).get_of_kind(self._job_id, self._kind).status)

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

    async def follow(self, tenant: str) -> AsyncIterator[dict[str, str]]:
        """Server-sent events, the `seq` as their id, until nothing more will come."""
        _streams[tenant] += 1
        try:
            async for event in self._events():
                yield event
        finally:
            _streams[tenant] -= 1

    async def _events(self) -> AsyncIterator[dict[str, str]]:
        while True:
            page = await asyncio.to_thread(self.read)
            for event in page.items:
                yield {"id": str(event.seq), "event": event.kind, "data": event.model_dump_json()}
            if page.next is None:
                return
            if len(page.items) < EVENTS_PER_READ:
                await asyncio.sleep(POLL_S)


def answer_events(request: Request, stream: EventStream, limit: int) -> JobEventList | EventSourceResponse:
    """The events as a list, or followed live where the client asks for `text/event-stream`.

    Raises JobNotFound, RateLimited.
    """
    if EVENT_STREAM not in request.headers.get("accept", ""):
        return stream.read(limit)
    stream.check()
    tenant = principal_of(request).tenant
    if _streams[tenant] >= MAX_STREAMS:
        raise RateLimited(
            f"{MAX_STREAMS} jobs are followed live already, the most at once: close some, or ask for lists of events.",
            retry_after_s=RETRY_AFTER_S,
        )
    return EventSourceResponse(stream.follow(tenant), ping=HEARTBEAT_S)
