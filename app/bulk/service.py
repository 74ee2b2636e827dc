"""Bulk predictions as jobs: the file is looked at and kept, the models are pinned, a worker does the rest."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO
from uuid import uuid4

import pyarrow as pa
from sqlalchemy.orm import Session, sessionmaker

from app.bulk.choosing import choose_models
from app.bulk.chunks import CHUNK_CHARACTERS, CHUNK_ROWS
from app.bulk.inputs import dataset_file, look_at
from app.bulk.parts import read_part
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.schemas import BulkPredictionCreate, BulkPredictionRead, ModelChoice
from app.bulk.spec import BulkSpec, ModelUse
from app.bulk.views import bulk_read
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt, JobNotFinished, PayloadTooLarge, ResultsDeleted
from app.core.orm import utc_now
from app.core.settings import LimitSettings, Settings
from app.datasets.service import DatasetService
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.predictions.directory import ModelDirectory
from app.registry.manifest import InputKind
from app.registry.store import ArtifactStore
from app.structures.archive import shown_name

COUNTED_EVENT = "counted"
STORE_FOLDER = "bulk"
DELETED_AT = "results_deleted_at"
_PIECE_BYTES = 1 << 20


class BulkService:
    """Opens short transactions of its own: an upload of gigabytes keeps no other writer waiting."""

    def __init__(
        self, sessions: sessionmaker[Session], store: ArtifactStore, settings: Settings, directory: ModelDirectory
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._settings = settings
        self._directory = directory

    def create_from_file(
        self, file_name: str, file: BinaryIO, choice: ModelChoice, idempotency_key: str | None
    ) -> BulkPredictionRead:
        """A queued job, or the one made before with the same key; nothing is kept of a request that is refused.

        Raises DatasetInvalid, InvalidArchive, TooManyInputs, PayloadTooLarge for the file, InputKindMismatch and the
        errors of `ModelDirectory.select` for the models, IdempotencyConflict.
        """
        found = look_at(file, bulk_limits(self._settings), self._settings.bulk.max_rows)
        digest, size = self._measured(file)
        request_sha256 = _request_digest(digest, choice)
        replay = self._replay(idempotency_key, request_sha256)
        if replay is not None:
            return replay
        models = choose_models(self._directory, choice, found)
        folder = f"{STORE_FOLDER}/{uuid4().hex}"
        spec = BulkSpec(
            input_name=shown_name(file_name) or "file", input_path=f"{folder}/input", input_sha256=digest,
            input_bytes=size, input=found, dataset_id=None, parts_prefix=f"{folder}/parts",
            models=tuple(ModelUse.of(model) for model in models), chunk_rows=CHUNK_ROWS,
            chunk_characters=CHUNK_CHARACTERS, interval_level=choice.interval_level,
        )  # fmt: skip
        self._store.put_stream(spec.input_path, _pieces(file))
        try:
            job, read = self._create(spec, idempotency_key, request_sha256)
        except BaseException:
            self._store.delete(spec.input_path)
            raise
        if job.spec["input_path"] != spec.input_path:  # the same request came twice at the same time
            self._store.delete(spec.input_path)
        return read

    def create_from_dataset(self, request: BulkPredictionCreate, idempotency_key: str | None) -> BulkPredictionRead:
        """The same for the inputs of a stored data set. Raises DatasetNotFound too."""
        choice = ModelChoice.model_validate(request.model_dump(exclude={"dataset_id"}))
        request_sha256 = _request_digest(request.dataset_id, choice)
        replay = self._replay(idempotency_key, request_sha256)
        if replay is not None:
            return replay
        with open_session(self._sessions, read_only=True) as session:
            dataset = DatasetService(session, self._store, self._settings).get(request.dataset_id)
        found = dataset_file(dataset.n_rows, self._settings.bulk.max_rows)
        models = choose_models(self._directory, choice, found, InputKind(dataset.input_kind))
        spec = BulkSpec(
            input_name=dataset.name, input_path=dataset.artifact_path, input_sha256=dataset.content_sha256,
            input_bytes=dataset.size_bytes, input=found, dataset_id=dataset.id,
            parts_prefix=f"{STORE_FOLDER}/{uuid4().hex}/parts",
            models=tuple(ModelUse.of(model) for model in models), chunk_rows=CHUNK_ROWS,
            chunk_characters=CHUNK_CHARACTERS, interval_level=choice.interval_level,
        )  # fmt: skip
        return self._create(spec, idempotency_key, request_sha256)[1]

    def get(self, job_id: str) -> BulkPredictionRead:
        """Raises JobNotFound."""
        with open_session(self._sessions, read_only=True) as session:
            job = JobRepository(session).get_of_kind(job_id, JobKind.BULK_PREDICTION)
            return self._read(session, [job])[0]

    def page(
        self, statuses: Sequence[JobStatus], cursor: str | None, limit: int
    ) -> tuple[list[BulkPredictionRead], str | None]:
        """One page, newest first, and the cursor of the next one."""
        with open_session(self._sessions, read_only=True) as session:
            jobs, following = JobRepository(session).page_at(JobKind.BULK_PREDICTION, statuses, cursor, limit)
            return self._read(session, jobs), following

    def cancel(self, job_id: str) -> BulkPredictionRead:
        """Raises JobNotFound, JobNotCancellable."""
        with open_session(self._sessions) as session:
            JobRepository(session).get_of_kind(job_id, JobKind.BULK_PREDICTION)
            job = JobService(session, self._settings.jobs).request_cancel(job_id)
            read = self._read(session, [job])[0]
        if read.status.is_terminal:
            self._remove_input(job)
        return read

    def results(self, job_id: str, *, is_partial: bool) -> Iterator[pa.Table]:
        """The lines of the job's parts in the order of the input, read as they are asked for.

        Raises at once JobNotFound, ResultsDeleted, and JobNotFinished unless the job succeeded or `is_partial`.
        """
        with open_session(self._sessions, read_only=True) as session:
            job = JobRepository(session).get_of_kind(job_id, JobKind.BULK_PREDICTION)
            if deleted_at := (job.result or {}).get(DELETED_AT):
                raise ResultsDeleted(f"The results of bulk prediction {job_id} were deleted at {deleted_at}.")
            parts = BulkPartRepository(session)
            if job.status != JobStatus.SUCCEEDED and not is_partial:
                done = parts.totals([job_id]).get(job_id, Totals()).n_inputs
                raise JobNotFinished(
                    f"Bulk prediction {job_id} is {job.status}; {done:,} of its inputs are done. With partial=true "
                    "their results are sent.",
                    job_status=job.status,
                )
            paths = parts.paths(job_id)
        return self._parts(paths)

    def delete(self, job_id: str) -> None:
        """Remove results and input; the job itself stays listed. Raises JobNotFound, JobNotFinished."""
        with open_session(self._sessions) as session:
            jobs = JobRepository(session)
            jobs.lock(job_id)
            job = jobs.get_of_kind(job_id, JobKind.BULK_PREDICTION)
            if not JobStatus(job.status).is_terminal:
                raise JobNotFinished(f"Bulk prediction {job_id} is {job.status}: cancel it, or wait for its end.")
            result = {DELETED_AT: utc_now().isoformat(timespec="seconds"), **(job.result or {})}
            jobs.update_where(job_id, result=result)
        self._remove_input(job)
        for path in self._store.list(BulkSpec.model_validate(job.spec).parts_prefix):
            self._store.delete(path)

    def _create(self, spec: BulkSpec, key: str | None, request_sha256: str) -> tuple[Job, BulkPredictionRead]:
        with open_session(self._sessions) as session:
            jobs = JobService(session, self._settings.jobs)
            job = jobs.create(JobKind.BULK_PREDICTION, spec.model_dump(mode="json"), key, request_sha256)
            return job, self._read(session, [job])[0]

    def _replay(self, key: str | None, request_sha256: str) -> BulkPredictionRead | None:
        with open_session(self._sessions, read_only=True) as session:
            jobs = JobService(session, self._settings.jobs)
            job = jobs.find_replay(JobKind.BULK_PREDICTION, key, request_sha256)
            return self._read(session, [job])[0] if job is not None else None

    def _measured(self, file: BinaryIO) -> tuple[str, int]:
        """sha256 and size in bytes."""
        digest, size = hashlib.sha256(), 0
        for piece in _pieces(file):
            digest.update(piece)
            size += len(piece)
        if size > (most := self._settings.bulk.max_upload_bytes):
            raise PayloadTooLarge(f"The file has {size:,} bytes; {most:,} are read at most.", limit_bytes=most)
        return digest.hexdigest(), size

    def _parts(self, paths: Sequence[str]) -> Iterator[pa.Table]:
        for path in paths:
            try:
                yield read_part(pa.py_buffer(self._store.get(path)))
            except (pa.ArrowException, OSError) as error:
                raise ArtifactCorrupt(f"The stored results {path} cannot be read: {error}") from error

    def _remove_input(self, job: Job) -> None:
        spec = BulkSpec.model_validate(job.spec)
        if spec.dataset_id is None:
            self._store.delete(spec.input_path)

    def _read(self, session: Session, jobs: Sequence[Job]) -> list[BulkPredictionRead]:
        ids = [job.id for job in jobs]
        parts = BulkPartRepository(session)
        totals = parts.totals(ids)
        counted = JobRepository(session).last_events(ids, COUNTED_EVENT)
        return [
            bulk_read(
                job, totals.get(job.id, Totals()), counted.get(job.id),
                parts.rate_per_s(job.id) if job.status == JobStatus.RUNNING else None,
            )
            for job in jobs
        ]  # fmt: skip


def bulk_limits(settings: Settings) -> LimitSettings:
    """The limits on archives, with the sizes of bulk predictions."""
    return settings.limits.model_copy(update={"max_inflated_bytes": settings.bulk.max_inflated_bytes})


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        yield piece


def _request_digest(content: str, choice: ModelChoice) -> str:
    request: dict[str, Any] = {"content": content, **choice.model_dump()}
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
