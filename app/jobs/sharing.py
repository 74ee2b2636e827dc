"""Jobs that several workers share: one leads, which means that it holds the job; any number of others help.

A helper holds nothing but shards. It comes when a worker has nothing else to do, and leaves when a job waits for one.
"""

import secrets
from collections.abc import Collection

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from app.jobs.errors import LeaseLost
from app.jobs.kinds import QueueName, kinds_of
from app.jobs.models import Job, JobShard
from app.jobs.repository import JobRepository
from app.jobs.shards import ShardRepository
from app.jobs.status import JobStatus

HELPED = (JobStatus.RUNNING, JobStatus.QUEUED)
"""States in which helpers work; queued is a job whose leader was lost while they did."""

JOINED_EVENT = "message"


class JobSharing:
    """Works in the caller's transaction and never commits."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs = JobRepository(session)
        self._shards = ShardRepository(session)

    def join(self, job_id: str, worker_id: str, serves: Collection[QueueName]) -> str | None:
        """The token of a helper, or None when the job needs no help, or other jobs need this worker more."""
        job = self._jobs.lock(job_id)
        if job is None or job.status != JobStatus.RUNNING or not self._shards.is_shared(job_id):
            return None
        # One worker uses all the cores it may use already.
        at_work = {job.worker_id, *self._shards.workers(job_id)}
        if worker_id in at_work or self.is_any_waiting(serves):
            return None
        self._jobs.insert_event(
            job_id, level="info", kind=JOINED_EVENT, message="Another worker helps.", data={"worker": worker_id}
        )
        return secrets.token_hex(16)

    def hold(self, job_id: str) -> None:
        """Lock the job's row for the rest of the transaction. Raises LeaseLost when it needs no helpers any more."""
        job = self._jobs.lock(job_id)
        if job is None or job.status not in (*HELPED, JobStatus.PAUSING):
            raise LeaseLost(job_id)

    def is_helped(self, job_id: str) -> bool:
        """Whether helpers are to go on with it."""
        job = self._jobs.get(job_id)
        return job is not None and job.status in HELPED

    def is_any_waiting(self, serves: Collection[QueueName]) -> bool:
        """Whether any job waits for a worker that serves these queues."""
        query = select(Job.id).where(Job.status == JobStatus.QUEUED, in_queues(serves)).limit(1)
        return self._session.scalar(query) is not None

    def wanting_help(self, queue: QueueName) -> list[str]:
        """Running jobs of the queue that another worker could help with; none while a job of the queue waits."""
        if self.is_any_waiting([queue]):
            return []
        query = select(Job.id).where(Job.status == JobStatus.RUNNING, in_queues([queue]))
        shared = query.where(exists().where(JobShard.job_id == Job.id)).order_by(Job.created_at)
        return [job_id for job_id in self._session.scalars(shared) if self._shards.is_shared(job_id)]


def in_queues(queues: Collection[QueueName]) -> ColumnElement[bool]:
    """Jobs whose messages go to one of these."""
    return Job.kind.in_([kind for queue in queues for kind in kinds_of(queue)])
