"""Jobs: what a client may ask for, and what a worker that holds the lease may write."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.access.quotas import Quota, TenantQuotas, require_room
from app.core.errors import (
    IdempotencyConflict,
    JobNotCancellable,
    JobNotFound,
    JobNotPausable,
    JobNotResumable,
    JobNotRetryable,
)
from app.core.settings import JobSettings
from app.jobs.errors import LeaseLost
from app.jobs.kinds import QueueName
from app.jobs.models import Job, JobEvent
from app.jobs.origin import origin_of, request_origin
from app.jobs.repository import JobRepository, lease_end
from app.jobs.shards import ShardRepository
from app.jobs.sharing import in_queues
from app.jobs.status import HELD, JobStatus, sources_of
from app.jobs.transitions import JobTransitions
from app.webhooks.outbox import endpoint_of_job
from app.webhooks.schemas import WebhookTarget

REAP_LIMIT = 100


class JobService:
    """Works in the caller's transaction and never commits."""

    def __init__(self, session: Session, settings: JobSettings) -> None:
        self._session = session
        self._settings = settings
        self._jobs = JobRepository(session)
        self._shards = ShardRepository(session)
        self._steps = JobTransitions(session, self._jobs, self._shards)

    def create(
        self, kind: str, spec: dict[str, Any], idempotency_key: str | None = None, request_sha256: str | None = None,
        webhook: WebhookTarget | None = None,
    ) -> Job:  # fmt: skip
        """A queued job, or the one that the same idempotency key made before; its end is announced to `webhook`.

        Raises IdempotencyConflict when the key came with another request, QuotaExceeded.
        """
        replay = self.find_replay(kind, idempotency_key, request_sha256)
        if replay is not None:
            return replay
        most = TenantQuotas(self._session).limit(Quota.OPEN_JOBS, self._settings.open_per_tenant)
        require_room(Quota.OPEN_JOBS, most, self._jobs.n_open() if most else 0)
        job = Job(
            id=f"job_{uuid4().hex}", kind=kind, status=JobStatus.VALIDATING, spec=spec, created_at=self._jobs.now(),
            idempotency_key=idempotency_key, request_sha256=request_sha256, max_attempts=self._settings.max_attempts,
        )  # fmt: skip
        try:
            with self._session.begin_nested():
                self._jobs.add(job)
        except IntegrityError:  # the same key arrived twice at the same time
            replay = self.find_replay(kind, idempotency_key, request_sha256)
            if replay is None:
                raise
            return replay
        if webhook is not None:
            self._session.add(endpoint_of_job(job.tenant, job.id, webhook.url, webhook.secret))
        self._steps.note(job.id, JobStatus.VALIDATING, "The request was checked.", **request_origin())
        self._steps.move(job.id, JobStatus.QUEUED, "Waiting for a worker.")
        return self.get(job.id)

    def find_replay(self, kind: str, idempotency_key: str | None, request_sha256: str | None) -> Job | None:
        """The job made before under this key; raises IdempotencyConflict when that was another request."""
        job = self._jobs.by_idempotency_key(kind, idempotency_key) if idempotency_key is not None else None
        if job is not None and job.request_sha256 != request_sha256:
            raise IdempotencyConflict(
                f"The Idempotency-Key '{idempotency_key}' was already used for job {job.id} with another request. "
                "Use a new key for a new request.",
                job_id=job.id,
            )
        return job

    def get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(f"There is no job '{job_id}'.")
        return job

    def origin(self, job_id: str) -> dict[str, str]:
        """What the request that made the job went by; see `app.jobs.origin`."""
        first = self._jobs.events_after(job_id, 0, 1)
        return origin_of(first[0].data) if first else {}

    def request_cancel(self, job_id: str) -> Job:
        """Cancel at once what no worker holds; ask the worker otherwise. Asking twice is asking once."""
        status = JobStatus(self._locked(job_id).status)
        if status.is_terminal:
            raise JobNotCancellable(f"Job {job_id} has already ended as '{status}'.", job_status=status)
        if status in sources_of(JobStatus.CANCELLED) and status is not JobStatus.CANCELLING:
            self._steps.end(job_id, JobStatus.CANCELLED, "Cancelled before a worker took it.")
        elif status in sources_of(JobStatus.CANCELLING):
            self._steps.move(job_id, JobStatus.CANCELLING, "Cancellation was requested.", cancel_requested=True)
        return self.get(job_id)

    def request_pause(self, job_id: str) -> Job:
        """Pause at once what no worker holds; ask the worker otherwise. Asking twice is asking once.

        Raises JobNotFound, JobNotPausable for a job that has ended or is being cancelled.
        """
        status = JobStatus(self._locked(job_id).status)
        if status is JobStatus.QUEUED:
            self._steps.move(job_id, JobStatus.PAUSED, "Paused before a worker took it.")
        elif status is JobStatus.RUNNING:
            self._steps.move(job_id, JobStatus.PAUSING, "A pause was requested.")
        elif status not in (JobStatus.PAUSING, JobStatus.PAUSED):
            raise JobNotPausable(
                f"Job {job_id} is '{status}': only what waits or runs can be paused.", job_status=status
            )
        return self.get(job_id)

    def request_resume(self, job_id: str) -> Job:
        """Let a paused job go on from its last checkpoint; its message is to be sent. Asking twice is asking once.

        Raises JobNotFound, JobNotResumable for a job that has ended or is being cancelled.
        """
        status = JobStatus(self._locked(job_id).status)
        if status is JobStatus.PAUSED:
            self._steps.move(job_id, JobStatus.QUEUED, "Waiting for a worker, after a pause.", enqueued_at=None)
        elif status is JobStatus.PAUSING:
            self._steps.move(job_id, JobStatus.RUNNING, "The pause was called off.")
        elif status not in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise JobNotResumable(f"Job {job_id} is '{status}': there is nothing to go on with.", job_status=status)
        return self.get(job_id)

    def require_retryable(self, job: Job) -> str:
        """What requests to try this job again go by. Raises JobNotRetryable for one that has not come to a bad end."""
        status = JobStatus(job.status)
        if not status.is_terminal or status is JobStatus.SUCCEEDED:
            raise JobNotRetryable(
                f"Job {job.id} is '{status}': only what failed, expired or was cancelled can be tried again.",
                job_status=status,
            )
        return hashlib.sha256(f"retry {job.id}".encode()).hexdigest()

    def retry(self, job_id: str, idempotency_key: str | None = None, spec: dict[str, Any] | None = None) -> Job:
        """A new job that asks for the same as one that failed, expired or was cancelled, or for `spec`.

        Raises JobNotFound, JobNotRetryable for any other, IdempotencyConflict, QuotaExceeded.
        """
        job = self.get(job_id)
        request_sha256 = self.require_retryable(job)
        replay = self.find_replay(job.kind, idempotency_key, request_sha256)
        if replay is not None:
            return replay
        retried = self.create(job.kind, spec or job.spec, idempotency_key, request_sha256)
        self.add_event(retried.id, None, "message", f"Job {job_id} is tried again.", {"retry_of": job_id})
        return retried

    def claim(self, job_id: str, worker_id: str) -> str | None:
        """Take the job: the new fencing token, or None when it is not to be had."""
        now, token = self._jobs.now(), secrets.token_hex(16)
        before = self._jobs.get(job_id)
        lost = before.fencing_token if before is not None else None
        taken = self._jobs.update_where(
            job_id, self._jobs.claimable(now), status=JobStatus.RUNNING, fencing_token=token, worker_id=worker_id,
            lease_expires_at=lease_end(now, self._settings.lease_s), attempts=Job.attempts + 1, status_reason=None,
        )  # fmt: skip
        if not taken:
            return None
        self._jobs.update_where(job_id, Job.started_at.is_(None), started_at=now)
        if lost is not None:
            self._shards.free(job_id, lost)
        job = self.get(job_id)
        reason = f"Attempt {job.attempts} of {job.max_attempts} started."
        self._steps.note(job_id, JobStatus.RUNNING, reason, attempt=job.attempts, worker=worker_id)
        return token

    def heartbeat(self, job_id: str, token: str) -> bool:
        """Renew the lease; False when it is lost, and then the work must stop at once."""
        until = lease_end(self._jobs.now(), self._settings.lease_s)
        return self._jobs.update_where(job_id, Job.fencing_token == token, Job.status.in_(HELD), lease_expires_at=until)

    def held(self, job_id: str, token: str) -> JobStatus:
        """Lock the row for the rest of the transaction; its status. Raises LeaseLost when the token is stale."""
        job = self._jobs.lock(job_id)
        if job is None or job.fencing_token != token:
            raise LeaseLost(job_id)
        return JobStatus(job.status)

    def watch(self, job_id: str, token: str) -> JobStatus:
        """Like `held`, without the lock: what a supervisor polls."""
        job = self._jobs.get(job_id)
        if job is None or job.fencing_token != token:
            raise LeaseLost(job_id)
        return JobStatus(job.status)

    def add_event(
        self, job_id: str, token: str | None, kind: str, message: str, data: dict[str, Any], level: str = "info"
    ) -> JobEvent:
        """Append an event; with a token only while its lease holds (LeaseLost otherwise)."""
        if token is not None:
            self.held(job_id, token)
        elif self._jobs.lock(job_id) is None:
            raise JobNotFound(f"There is no job '{job_id}'.")
        return self._jobs.insert_event(job_id, level=level, kind=kind, message=message, data=data)

    def succeed(self, job_id: str, token: str, result: dict[str, Any], reason: str = "The job is done.") -> None:
        """End as succeeded. Raises LeaseLost, also when a cancellation came first."""
        self._steps.end(job_id, JobStatus.SUCCEEDED, reason, token, result=result)

    def fail(self, job_id: str, token: str, error_code: str, detail: str) -> None:
        """End as failed, or as cancelled when that was asked for meanwhile. Raises LeaseLost."""
        if self.held(job_id, token) is JobStatus.CANCELLING:
            self.cancelled(job_id, token)
        else:
            self._steps.end(job_id, JobStatus.FAILED, detail, token, error_code=error_code)

    def cancelled(self, job_id: str, token: str) -> None:
        self._steps.end(job_id, JobStatus.CANCELLED, "Cancelled while it ran.", token)

    def paused(self, job_id: str, token: str) -> JobStatus:
        """The worker has stopped for a pause, which costs no attempt; where the job stands. Raises LeaseLost.

        Queued, when the pause was called off meanwhile.
        """
        return self.release(job_id, token, "The pause was called off.", counts_as_attempt=False)

    def expire(self, job_id: str, token: str, detail: str) -> None:
        """End as expired, or as cancelled when that was asked for meanwhile. Raises LeaseLost."""
        if self.held(job_id, token) is JobStatus.CANCELLING:
            self.cancelled(job_id, token)
        else:
            self._steps.end(job_id, JobStatus.EXPIRED, detail, token)

    def release(self, job_id: str, token: str, reason: str, *, counts_as_attempt: bool = True) -> JobStatus:
        """Give the job back: queued again, or failed when its attempts are used up. Raises LeaseLost."""
        self.held(job_id, token)
        return self._steps.requeue(self.get(job_id), reason, counts_as_attempt=counts_as_attempt)

    def release_worker(self, worker_id: str) -> list[str]:
        """Give back all jobs and shards of a worker that stops as planned; this costs them no attempt."""
        self._shards.free_worker(worker_id)
        reason = "The worker was stopped; the job goes on with the next one."
        return self._steps.requeue_all(self._jobs.running_of(worker_id), reason, counts_as_attempt=False)

    def reap(self) -> list[str]:
        """End or re-queue jobs whose lease ran out; ids of those queued again."""
        now = self._jobs.now()
        # After a clock was set back, leases from before would hold for as long as it went back.
        latest = lease_end(now, self._settings.lease_s)
        self._jobs.shorten_leases(latest)
        self._shards.shorten_leases(latest)
        jobs = self._jobs.with_expired_lease(now, REAP_LIMIT)
        reason = "The worker that ran the job stopped answering."
        return self._steps.requeue_all(jobs, reason, Job.lease_expires_at < now, counts_as_attempt=True)

    def pending_enqueue(self, *, empty_queues: Collection[QueueName] = ()) -> list[str]:
        """Queued jobs whose message is to be sent (again).

        A job may wait long behind others, so age alone does not say that its message is lost; an empty queue does.
        """
        sent_before = self._jobs.now() - timedelta(seconds=self._settings.lease_s)
        return self._jobs.unsent(sent_before, in_queues(empty_queues), REAP_LIMIT)

    def mark_enqueued(self, job_id: str) -> None:
        self._jobs.update_where(job_id, Job.status == JobStatus.QUEUED, enqueued_at=self._jobs.now())

    def _locked(self, job_id: str) -> Job:
        job = self._jobs.lock(job_id)
        if job is None:
            raise JobNotFound(f"There is no job '{job_id}'.")
        return job
