"""Screenings as jobs: predictions of all candidates, then a choice among them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, ClassVar
from uuid import uuid4

from app.bulk.chunks import CHUNK_CHARACTERS, CHUNK_ROWS
from app.bulk.file_jobs import STORE_FOLDER, FileJobs, bulk_limits, pieces_of
from app.bulk.inputs import InputFile, dataset_file, look_at
from app.bulk.repository import Totals
from app.bulk.spec import BulkSpec, ModelUse
from app.core.arrow import pa
from app.core.db import open_session
from app.core.errors import ArtifactCorrupt, InputKindMismatch, InvalidRequest, JobNotFinished
from app.core.settings import Settings
from app.datasets.service import DatasetService
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.status import JobStatus
from app.predictions.inputs import refuse_duplicate_ids
from app.predictions.schemas import PredictionInput
from app.registry.manifest import InputKind
from app.screening.choosing import choose_for
from app.screening.generation.candidates import count_candidates
from app.screening.generation.table import generated_file
from app.screening.generator import Generator
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.spec import RESULT_PATH, STRUCTURES_PATH, ScreeningSpec
from app.screening.table import read_table
from app.screening.views import screening_read
from app.screening.wish import ScreeningWish
from app.structures.archive import shown_name
from app.webhooks.schemas import with_webhook

MAX_CANDIDATES = 1_000_000
"""All of them are ranked at once, in memory."""

IN_REQUEST = "candidates.jsonl"


class ScreeningService(FileJobs[ScreeningRead]):
    kind: ClassVar[JobKind] = JobKind.SCREENING

    def create(self, request: ScreeningCreate, idempotency_key: str | None) -> ScreeningRead:
        """A queued job, or the one made before with the same key; nothing is kept of a request that is refused.

        Raises DatasetNotFound, TooManyInputs, InvalidRequest, InputKindMismatch and the errors of
        `ModelDirectory.select`, IdempotencyConflict.
        """
        wish = request.wish()
        if request.candidates is not None:
            content = candidate_lines(request.candidates)
            return self.create_from_file(IN_REQUEST, io.BytesIO(content), wish, idempotency_key)
        source = request.dataset_id if request.generator is None else request.generator.model_dump_json()
        request_sha256 = with_webhook(_request_digest(source or "", wish), self._webhook)
        replay = self._replay(idempotency_key, request_sha256)
        if replay is not None:
            return replay
        if request.generator is not None:
            spec = self._generated(request.generator, wish)
        else:
            spec = self._stored(request.dataset_id or "", wish)
        return self._create(spec.model_dump(mode="json"), idempotency_key, request_sha256)[1]

    def create_from_file(
        self, file_name: str, file: BinaryIO, wish: ScreeningWish, idempotency_key: str | None
    ) -> ScreeningRead:
        """The same for a file of candidates. Raises DatasetInvalid, InvalidArchive and PayloadTooLarge too."""
        found = look_at(file, bulk_limits(self._settings), max_candidates(self._settings))
        digest, size = self._measured(file)
        request_sha256 = with_webhook(_request_digest(digest, wish), self._webhook)
        replay = self._replay(idempotency_key, request_sha256)
        if replay is not None:
            return replay
        folder = f"{STORE_FOLDER}/{uuid4().hex}"
        predictions = self._predictions(wish, found, folder, None).model_copy(
            update={
                "input_name": shown_name(file_name) or "file", "input_path": f"{folder}/input",
                "input_sha256": digest, "input_bytes": size,
            }
        )  # fmt: skip
        document = ScreeningSpec(predictions=predictions, wish=wish).model_dump(mode="json")
        return self._create_with_input(
            document, predictions.input_path, pieces_of(file), idempotency_key, request_sha256
        )

    def results(self, job_id: str, scope: ResultScope) -> pa.Table:
        """The selected candidates, best first, or all of them.

        Raises JobNotFound, JobNotFinished, ResultsDeleted, ArtifactCorrupt.
        """
        path = self._result(job_id)[RESULT_PATH]
        try:
            return read_table(pa.py_buffer(self._store.get(path)), scope)
        except (pa.ArrowException, OSError) as error:
            raise ArtifactCorrupt(f"The stored results {path} cannot be read: {error}") from error

    def structures(self, job_id: str) -> Iterator[bytes]:
        """A zip of CIFs of those selected. Raises what `results` raises, and InputKindMismatch for compositions."""
        path = self._result(job_id)[STRUCTURES_PATH]
        if path is None:
            raise InputKindMismatch(f"What screening {job_id} selected are compositions: there are no CIFs of them.")
        return self._store.stream(path)

    def _result(self, job_id: str) -> dict[str, Any]:
        with open_session(self._sessions, read_only=True) as session:
            job = self._job(session, job_id)
            if job.status != JobStatus.SUCCEEDED:
                raise JobNotFinished(
                    f"Screening {job_id} is {job.status}: candidates are ranked when all are predicted.",
                    job_status=job.status,
                )
            return dict(job.result or {})

    def _generated(self, generator: Generator, wish: ScreeningWish) -> ScreeningSpec:
        n = count_candidates(generator, wish.elements, max_candidates(self._settings))
        found = generated_file(generator, n)
        predictions = self._predictions(wish, found, f"{STORE_FOLDER}/{uuid4().hex}", None)
        return ScreeningSpec(predictions=predictions, wish=wish, generator=generator)

    def _stored(self, dataset_id: str, wish: ScreeningWish) -> ScreeningSpec:
        with open_session(self._sessions, read_only=True) as session:
            dataset = DatasetService(session, self._store, self._settings).get(dataset_id)
        found = dataset_file(dataset.n_rows, max_candidates(self._settings))
        predictions = self._predictions(
            wish, found, f"{STORE_FOLDER}/{uuid4().hex}", InputKind(dataset.input_kind)
        ).model_copy(
            update={
                "input_name": dataset.name, "input_path": dataset.artifact_path, "dataset_id": dataset.id,
                "input_sha256": dataset.content_sha256, "input_bytes": dataset.size_bytes,
            }
        )  # fmt: skip
        return ScreeningSpec(predictions=predictions, wish=wish)

    def _predictions(
        self, wish: ScreeningWish, found: InputFile, folder: str, input_kind: InputKind | None
    ) -> BulkSpec:
        models = choose_for(self._directory, wish, found, input_kind)
        return BulkSpec(
            input_name="generator", input_path=f"{folder}/input", input_sha256="", input_bytes=0, input=found,
            dataset_id=None, parts_prefix=f"{folder}/parts", models=tuple(ModelUse.of(model) for model in models),
            chunk_rows=CHUNK_ROWS, chunk_characters=CHUNK_CHARACTERS, interval_level=wish.interval_level,
            elements=wish.elements,
        )  # fmt: skip

    def _with_bulk_spec(self, job: Job, spec: BulkSpec) -> dict[str, Any]:
        screening = ScreeningSpec.model_validate(job.spec)
        return screening.model_copy(update={"predictions": spec}).model_dump(mode="json")

    def _view(
        self, job: Job, totals: Totals, counted: dict[str, Any] | None, rate_per_s: float | None
    ) -> ScreeningRead:
        return screening_read(job, totals, counted, rate_per_s)


def max_candidates(settings: Settings) -> int:
    return min(settings.bulk.max_rows, MAX_CANDIDATES)


def candidate_lines(candidates: Sequence[PredictionInput]) -> bytes:
    """Candidates of a request as a file of JSON lines.

    Raises InvalidRequest where two have one id, and for structures among compositions.
    """
    if len({each.composition is None for each in candidates}) > 1:
        raise InvalidRequest("Some candidates are structures, others compositions: screen them apart.")
    ids = [each.id if each.id is not None else str(place) for place, each in enumerate(candidates)]
    refuse_duplicate_ids(ids)
    lines = [json.dumps({"id": name, **_content(each)}) for name, each in zip(ids, candidates, strict=True)]
    return "".join(line + "\n" for line in lines).encode()


def _content(candidate: PredictionInput) -> dict[str, str]:
    if candidate.composition is not None:
        return {"composition": candidate.composition}
    structure = json.dumps(candidate.structure) if candidate.structure is not None else None
    return {"structure": candidate.cif or candidate.poscar or structure or ""}


def _request_digest(content: str, wish: ScreeningWish) -> str:
    return hashlib.sha256(json.dumps([content, wish.model_dump(mode="json")], sort_keys=True).encode()).hexdigest()
