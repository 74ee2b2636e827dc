"""Jobs over files: what bulk predictions and screenings keep, show and throw away alike."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, ClassVar, Generic, Self, TypeVar
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from app.bulk.parts import read_part
from app.bulk.quota import require_rows
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.spec import DELETED_AT, BulkSpec, predictions_of
from app.core.arrow import pa
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt, JobNotFinished, JobNotRetryable, PayloadTooLarge, ResultsDeleted
from app.core.orm import utc_now
from app.core.settings import LimitSettings, Settings
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.predictions.selection import Models
from app.registry.store import ArtifactStore
from app.webhooks.addresses import refuse_inner
from app.webhooks.schemas import WebhookTarget

COUNTED_EVENT = "counted"
STORE_FOLDER = "bulk"
_PIECE_BYTES = 1 << 20

ReadT = TypeVar("ReadT")


class FileJobs(ABC, Generic[ReadT]):
    """Opens short transactions of its own: an upload of gigabytes keeps no other writer waiting."""

    kind: ClassVar[JobKind]

    def __init__(
        self, sessions: sessionmaker[Session], store: ArtifactStore, settings: Settings, directory: Models
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._settings = settings
        self._directory = directory
        self._webhook: WebhookTarget | None = None

    def announcing(self, webhook: WebhookTarget | None) -> Self:
        """The same; the ends of jobs that it makes are announced there. Raises WebhookRefused."""
        if webhook is not None:
            refuse_inner(webhook.url, allow_private=self._settings.webhooks.allow_private)
        self._webhook = webhook
        return self

    @abstractmethod
    def _with_bulk_spec(self, job: Job, spec: BulkSpec) -> dict[str, Any]:
        """The job's spec with these predictions instead of its own."""

    @abstractmethod
    def _view(self, job: Job, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None) -> ReadT:
        """What is shown of the job."""

    def get(self, job_id: str) -> ReadT:
        """Raises JobNotFound."""
        with open_session(self._sessions, read_only=True) as session:
            job = JobRepository(session).get_of_kind(job_id, self.kind)
            return self._read(session, [job])[0]

    def page(self, statuses: Sequence[JobStatus], cursor: str | None, limit: int) -> tuple[list[ReadT], str | None]:
        """One page, newest first, and the cursor of the next one."""
        with open_session(self._sessions, read_only=True) as session:
            jobs, following = JobRepository(session).page_at(self.kind, statuses, cursor, limit)
            return self._read(session, jobs), following

    def cancel(self, job_id: str) -> ReadT:
        """Raises JobNotFound, JobNotCancellable."""
        return self._order(job_id, JobService.request_cancel)

    def pause(self, job_id: str) -> ReadT:
        """Raises JobNotFound, JobNotPausable."""
        return self._order(job_id, JobService.request_pause)

    def resume(self, job_id: str) -> ReadT:
        """Raises JobNotFound, JobNotResumable."""
        return self._order(job_id, JobService.request_resume)

    def retry(self, job_id: str, idempotency_key: str | None) -> ReadT:
        """A new job that asks for the same as one that failed, expired or was cancelled, from the beginning.

        Raises JobNotFound, JobNotRetryable, also when the input is gone, IdempotencyConflict, QuotaExceeded.
        """
        with open_session(self._sessions, read_only=True) as session:
            job = JobRepository(session).get_of_kind(job_id, self.kind)
            request_sha256 = JobService(session, self._settings.jobs).require_retryable(job)
        replay = self._replay(idempotency_key, request_sha256)
        if replay is not None:
            return replay
        spec, folder = predictions_of(job.spec), f"{STORE_FOLDER}/{uuid4().hex}"
        own = spec.dataset_id is None
        moved = {"parts_prefix": f"{folder}/parts", **({"input_path": f"{folder}/input"} if own else {})}
        document = self._with_bulk_spec(job, spec.model_copy(update=moved))
        if own and spec.input_sha256:
            if not self._store.exists(spec.input_path):
                raise JobNotRetryable(
                    f"The input of job {job_id} is no longer kept: send it again.", job_status=job.status
                )
            self._store.copy(spec.input_path, moved["input_path"])
            return self._create_beside(document, moved["input_path"], idempotency_key, request_sha256, job)
        return self._create(document, idempotency_key, request_sha256, job)[1]

    def _order(self, job_id: str, order: Callable[[JobService, str], Job]) -> ReadT:
        with open_session(self._sessions) as session:
            JobRepository(session).get_of_kind(job_id, self.kind)
            job = order(JobService(session, self._settings.jobs), job_id)
            return self._read(session, [job])[0]

    def delete(self, job_id: str) -> None:
        """Remove results and input; the job itself stays listed. Raises JobNotFound, JobNotFinished."""
        with open_session(self._sessions) as session:
            jobs = JobRepository(session)
            jobs.lock(job_id)
            job = jobs.get_of_kind(job_id, self.kind)
            if not JobStatus(job.status).is_terminal:
                raise JobNotFinished(f"The {self.kind.label} {job_id} is {job.status}: cancel it, or wait for its end.")
            result = {DELETED_AT: utc_now().isoformat(timespec="seconds"), **(job.result or {})}
            jobs.update_where(job_id, result=result)
        self._remove_input(job)
        for path in self._store.list(predictions_of(job.spec).parts_prefix):
            self._store.delete(path)

    def _job(self, session: Session, job_id: str) -> Job:
        """A job whose results are there. Raises JobNotFound, ResultsDeleted."""
        job = JobRepository(session).get_of_kind(job_id, self.kind)
        if deleted_at := (job.result or {}).get(DELETED_AT):
            raise ResultsDeleted(f"The results of {self.kind.label} {job_id} were deleted at {deleted_at}.")
        return job

    def _create(
        self, spec: dict[str, Any], key: str | None, request_sha256: str, retried: Job | None = None
    ) -> tuple[Job, ReadT]:
        with open_session(self._sessions) as session:
            jobs = JobService(session, self._settings.jobs)
            if retried is None:
                job = jobs.create(self.kind, spec, key, request_sha256, self._webhook)
            else:
                job = jobs.retry(retried.id, key, spec)
            require_rows(session, self._settings.bulk.rows_per_tenant_and_day, job)
            return job, self._read(session, [job])[0]

    def _create_with_input(
        self, spec: dict[str, Any], input_path: str, pieces: Iterator[bytes], key: str | None, request_sha256: str
    ) -> ReadT:
        """The same with a file of its own; nothing is kept of a request that is refused or that came before."""
        self._store.put_stream(input_path, pieces)
        return self._create_beside(spec, input_path, key, request_sha256)

    def _create_beside(
        self, spec: dict[str, Any], input_path: str, key: str | None, request_sha256: str, retried: Job | None = None
    ) -> ReadT:
        """The same with an input that is stored already."""
        try:
            job, read = self._create(spec, key, request_sha256, retried)
        except BaseException:
            self._store.delete(input_path)
            raise
        if predictions_of(job.spec).input_path != input_path:  # the same request came twice at the same time
            self._store.delete(input_path)
        return read

    def _replay(self, key: str | None, request_sha256: str) -> ReadT | None:
        with open_session(self._sessions, read_only=True) as session:
            job = JobService(session, self._settings.jobs).find_replay(self.kind, key, request_sha256)
            return self._read(session, [job])[0] if job is not None else None

    def _measured(self, file: BinaryIO) -> tuple[str, int]:
        """sha256 and size in bytes. Raises PayloadTooLarge."""
        digest, size = hashlib.sha256(), 0
        for piece in pieces_of(file):
            digest.update(piece)
            size += len(piece)
        if size > (most := self._settings.bulk.max_upload_bytes):
            raise PayloadTooLarge(f"The file has {size:,} bytes; {most:,} are read at most.", limit_bytes=most)
        return digest.hexdigest(), size

    def _remove_input(self, job: Job) -> None:
        spec = predictions_of(job.spec)
        if spec.dataset_id is None:
            self._store.delete(spec.input_path)

    def _read(self, session: Session, jobs: Sequence[Job]) -> list[ReadT]:
        ids = [job.id for job in jobs]
        parts = BulkPartRepository(session)
        totals = parts.totals(ids)
        counted = JobRepository(session).last_events(ids, COUNTED_EVENT)
        return [
            self._view(
                job, totals.get(job.id, Totals()), counted.get(job.id),
                parts.rate_per_s(job.id) if job.status == JobStatus.RUNNING else None,
            )
            for job in jobs
        ]  # fmt: skip


class StoredParts:
    """The lines of parts in the artifact store, read as they are asked for, from the first each time."""

    def __init__(self, store: ArtifactStore, paths: Sequence[str]) -> None:
        self.paths = paths
        self._store = store

    def __iter__(self) -> Iterator[pa.Table]:
        """Raises ArtifactCorrupt."""
        for path in self.paths:
            try:
                yield read_part(pa.py_buffer(self._store.get(path)))
            except (pa.ArrowException, OSError) as error:
                raise ArtifactCorrupt(f"The stored results {path} cannot be read: {error}") from error


def bulk_limits(settings: Settings) -> LimitSettings:
    """The limits on archives, with the sizes of bulk predictions."""
    return settings.limits.model_copy(update={"max_inflated_bytes": settings.bulk.max_inflated_bytes})


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """The file from its beginning."""
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece
