"""The job queue and what names a job, handed to routes."""

from typing import Annotated

from fastapi import BackgroundTasks, Depends, Header, Path

from app.jobs.outbox import dispatch
from app.jobs.queue import JobQueue
from app.jobs.schemas import ID_PATTERN
from app.jobs.status import JobStatus
from app.web.deps import SessionsDep, SettingsDep, resource

JobQueueDep = Annotated[JobQueue, Depends(resource(JobQueue))]

JobId = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        max_length=255,
        description="`id` of the job.",
        examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    ),
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of yours. Sending the same request again with the same key answers with the same job.",
    ),
]


class JobSender:
    """Sends jobs to the workers after the answer, hence after the commit. Where the broker is away the reaper does."""

    def __init__(
        self, background: BackgroundTasks, sessions: SessionsDep, settings: SettingsDep, queue: JobQueueDep
    ) -> None:
        self._background = background
        self._arguments = (sessions, settings.jobs, queue)

    def send(self, job_id: str, status: JobStatus) -> None:
        """Nothing is sent of a job that does not wait: a repeated request names one that may have ended."""
        if status is JobStatus.QUEUED:
            self._background.add_task(dispatch, *self._arguments, [job_id])


JobSenderDep = Annotated[JobSender, Depends()]
