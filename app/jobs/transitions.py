"""Steps from one status of a job to the next, each with its event and what else goes with it."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from app.jobs.errors import JobErrorCode, LeaseLost
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.shards import ShardRepository
from app.jobs.status import JobStatus, sources_of
from app.jobs.views import job_notice
from app.webhooks.kinds import WebhookEvent
from app.webhooks.outbox import announce_end

_NO_LEASE: dict[str, Any] = {"fencing_token": None, "lease_expires_at": None}


class JobTransitions:
    """Works in the caller's transaction; every step is conditional on where the job stands when it is written."""

    def __init__(self, session: Session, jobs: JobRepository, shards: ShardRepository) -> None:
        self._session, self._jobs, self._shards = session, jobs, shards

    def requeue_all(
        self, jobs: Sequence[Job], reason: str, *conditions: ColumnElement[bool], counts_as_attempt: bool
    ) -> list[str]:
        """`requeue` each that still stands as it was read; ids of those queued again."""
        queued = []
        for job in jobs:
            try:
                status = self.requeue(job, reason, *conditions, counts_as_attempt=counts_as_attempt)
            except LeaseLost:  # its worker answered again, or it was ended or re-queued by somebody faster
                continue
            if status is JobStatus.QUEUED:
                queued.append(job.id)
        return queued

    def requeue(self, job: Job, reason: str, *conditions: ColumnElement[bool], counts_as_attempt: bool) -> JobStatus:
        """Queued, paused, cancelled or failed, as was asked for and as attempts are left. Raises LeaseLost."""
        token = job.fencing_token
        if job.status == JobStatus.CANCELLING:
            self.end(job.id, JobStatus.CANCELLED, "Cancelled while it ran.", token, *conditions)
            return JobStatus.CANCELLED
        if counts_as_attempt and job.attempts >= job.max_attempts:
            detail = f"{reason} This was attempt {job.attempts} of {job.max_attempts}."
            code = JobErrorCode.WORKER_LOST
            self.end(job.id, JobStatus.FAILED, detail, token, *conditions, error_code=code)
            return JobStatus.FAILED
        attempts = job.attempts if counts_as_attempt else job.attempts - 1
        to = JobStatus.QUEUED
        if job.status == JobStatus.PAUSING:
            to, reason = JobStatus.PAUSED, "Paused; it goes on from its last checkpoint."
        self.move(job.id, to, reason, token, *conditions, enqueued_at=None, attempts=attempts, **_NO_LEASE)
        return to

    def end(
        self, job_id: str, to: JobStatus, reason: str, token: str | None = None, *conditions: ColumnElement[bool],
        **values: Any,
    ) -> None:  # fmt: skip
        """`move` to a last status, and announce it to webhooks. Raises LeaseLost."""
        self.move(job_id, to, reason, token, *conditions, finished_at=self._jobs.now(), **_NO_LEASE, **values)
        job = self._jobs.get(job_id)
        assert job is not None  # its row was just written
        announce_end(self._session, job.tenant, job_id, WebhookEvent(f"job.{to}"), job_notice(job))

    def move(
        self, job_id: str, to: JobStatus, reason: str, token: str | None = None, *conditions: ColumnElement[bool],
        **values: Any,
    ) -> None:  # fmt: skip
        """One legal transition, conditional on the token where one is given, with its event. Raises LeaseLost."""
        wanted = [Job.status.in_(sources_of(to)), *conditions]
        if token is not None:
            wanted.append(Job.fencing_token == token)
        if not self._jobs.update_where(job_id, *wanted, status=to, status_reason=reason, **values):
            raise LeaseLost(job_id)
        if to.is_terminal:
            self._shards.remove_all([job_id])
        elif to is JobStatus.PAUSED:
            self._shards.free(job_id)
        elif to is JobStatus.QUEUED and token is not None:
            self._shards.free(job_id, token)
        self.note(job_id, to, reason, **({"error_code": values["error_code"]} if "error_code" in values else {}))

    def note(self, job_id: str, status: JobStatus, reason: str, **data: Any) -> None:
        """An event that tells the status."""
        level = "error" if status in (JobStatus.FAILED, JobStatus.EXPIRED) else "info"
        self._jobs.insert_event(job_id, level=level, kind="status", message=reason, data={"status": status, **data})
