"""Bulk predictions as jobs: the file is looked at and kept, the models are pinned, a worker does the rest."""

import hashlib
import json
from typing import Any, BinaryIO, ClassVar
from uuid import uuid4

from app.bulk.choosing import choose_models
from app.bulk.chunks import CHUNK_CHARACTERS, CHUNK_ROWS
from app.bulk.file_jobs import STORE_FOLDER, FileJobs, StoredParts, bulk_limits, pieces_of
from app.bulk.inputs import dataset_file, look_at
from app.bulk.repository import BulkPartRepository, Totals
from app.bulk.schemas import BulkPredictionCreate, BulkPredictionRead, ModelChoice
from app.bulk.spec import BulkSpec, ModelUse
from app.bulk.views import bulk_read
from app.core.db import open_session
from app.core.errors import JobNotFinished
from app.datasets.service import DatasetService
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.status import JobStatus
from app.registry.manifest import InputKind
from app.structures.archive import shown_name
from app.webhooks.schemas import with_webhook


class BulkService(FileJobs[BulkPredictionRead]):
    kind: ClassVar[JobKind] = JobKind.BULK_PREDICTION

    def create_from_file(
        self, file_name: str, file: BinaryIO, choice: ModelChoice, idempotency_key: str | None
    ) -> BulkPredictionRead:
        """A queued job, or the one made before with the same key; nothing is kept of a request that is refused.

        Raises DatasetInvalid, InvalidArchive, TooManyInputs, PayloadTooLarge for the file, InputKindMismatch and the
        errors of `ModelDirectory.select` for the models, IdempotencyConflict.
        """
        found = look_at(file, bulk_limits(self._settings), self._settings.bulk.max_rows)
        digest, size = self._measured(file)
        request_sha256 = with_webhook(_request_digest(digest, choice), self._webhook)
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
        document = spec.model_dump(mode="json")
        return self._create_with_input(document, spec.input_path, pieces_of(file), idempotency_key, request_sha256)

    def create_from_dataset(self, request: BulkPredictionCreate, idempotency_key: str | None) -> BulkPredictionRead:
        """The same for the inputs of a stored data set. Raises DatasetNotFound too."""
        choice = ModelChoice.model_validate(request.model_dump(exclude={"dataset_id", "webhook"}))
        request_sha256 = with_webhook(_request_digest(request.dataset_id, choice), self._webhook)
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
        return self._create(spec.model_dump(mode="json"), idempotency_key, request_sha256)[1]

    def results(self, job_id: str, *, is_partial: bool) -> StoredParts:
        """The lines of the job's parts in the order of the input.

        Raises at once JobNotFound, ResultsDeleted, and JobNotFinished unless the job succeeded or `is_partial`.
        """
        with open_session(self._sessions, read_only=True) as session:
            job = self._job(session, job_id)
            parts = BulkPartRepository(session)
            if job.status != JobStatus.SUCCEEDED and not is_partial:
                done = parts.totals([job_id]).get(job_id, Totals()).n_inputs
                raise JobNotFinished(
                    f"Bulk prediction {job_id} is {job.status}; {done:,} of its inputs are done. With partial=true "
                    "their results are sent.",
                    job_status=job.status,
                )
            paths = list(parts.paths(job_id).values())
        return StoredParts(self._store, paths)

    def _with_bulk_spec(self, job: Job, spec: BulkSpec) -> dict[str, Any]:  # noqa: ARG002
        return spec.model_dump(mode="json")

    def _view(
        self, job: Job, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None
    ) -> BulkPredictionRead:
        return bulk_read(job, totals, counted, rate_per_s)


def _request_digest(content: str, choice: ModelChoice) -> str:
    request: dict[str, Any] = {"content": content, **choice.model_dump()}
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
