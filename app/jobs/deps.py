"""The job queue and what names a job, handed to routes."""

from typing import Annotated

from fastapi import Depends, Header, Path

from app.jobs.queue import JobQueue
from app.jobs.schemas import ID_PATTERN
from app.web.deps import resource

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
