"""The job queue, handed to routes."""

from typing import Annotated

from fastapi import Depends

from app.jobs.queue import JobQueue
from app.web.deps import resource

JobQueueDep = Annotated[JobQueue, Depends(resource(JobQueue))]
