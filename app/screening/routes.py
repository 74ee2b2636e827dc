"""The calls under /v1/screenings."""

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError
from sse_starlette import EventSourceResponse

from app.bulk.download import answer_download, etag_of
from app.bulk.formats import ResultFormat
from app.bulk.results import MEDIA_TYPES, encode
from app.core.errors import (
    AliasNotFound,
    DatasetInvalid,
    DatasetNotFound,
    IdempotencyConflict,
    InputKindMismatch,
    InvalidArchive,
    InvalidRequest,
    JobNotCancellable,
    JobNotFinished,
    JobNotFound,
    ModelNotFound,
    ModelVersionNotFound,
    PayloadTooLarge,
    PropertyNotFound,
    ResultsDeleted,
    StorageFull,
    TooManyInputs,
    WebhookRefused,
)
from app.jobs.deps import IdempotencyKey, JobId, JobSenderDep
from app.jobs.kinds import JobKind
from app.jobs.schemas import JobEventList
from app.jobs.status import JobStatus
from app.jobs.stream import (
    EVENT_STREAM,
    EVENTS_PER_READ,
    EventsAfter,
    EventsLimit,
    EventStream,
    LastEventId,
    answer_events,
)
from app.predictions.deps import DirectoryDep
from app.registry.deps import StoreDep
from app.screening.examples import EXAMPLES
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.service import ScreeningService
from app.screening.table import pieces
from app.screening.wish import ScreeningWish
from app.web.deps import SessionsDep, SettingsDep
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses
from app.webhooks.deps import WebhookFields

JSON = "application/json"

router = APIRouter(prefix="/v1/screenings", tags=["screening"])

M = TypeVar("M", bound=BaseModel)


def _service(
    sessions: SessionsDep, store: StoreDep, settings: SettingsDep, directory: DirectoryDep
) -> ScreeningService:
    return ScreeningService(sessions, store, settings, directory)


ServiceDep = Annotated[ScreeningService, Depends(_service)]


async def _json_request(request: Request) -> ScreeningCreate | None:
    """The body of a request in JSON; None for one with a file."""
    if not request.headers.get("content-type", "").startswith(JSON):
        return None
    return _validated(ScreeningCreate, await request.body(), "body")


def _validated(model: type[M], content: str | bytes, where: str) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": (where, *e["loc"])} for e in error.errors()]) from None


_JSON_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {JSON: {"schema": ScreeningCreate.model_json_schema(), "examples": EXAMPLES}}, "required": True
    }
}  # fmt: skip


@router.post(
    "",
    status_code=201,
    summary="Screen candidates",
    openapi_extra=_JSON_BODY,
    responses=problem_responses(
        DatasetInvalid, InvalidArchive, TooManyInputs, InputKindMismatch, PayloadTooLarge, StorageFull, DatasetNotFound,
        ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound, IdempotencyConflict, WebhookRefused,
    ),
)  # fmt: skip
def create_screening(
    service: ServiceDep, sender: JobSenderDep, response: Response,
    request: Annotated[ScreeningCreate | None, Depends(_json_request)],
    file: Annotated[
        UploadFile | None,
        File(
            description="Candidates: CSV, JSONL or Parquet with a column `cif`, `poscar`, `structure`, `composition` "
            "or `formula` and, if you like, `id`; or a zip of structure files."
        ),
    ] = None,
    wish: Annotated[
        str | None, Form(description="With a file: what is looked for, as JSON with the fields of a request in JSON.")
    ] = None,
    webhook: WebhookFields = None,
    idempotency_key: IdempotencyKey = None,
) -> ScreeningRead:  # fmt: skip
    """Predicts properties of all candidates, sieves them by constraints, and names the best. Candidates are rows of a
    stored data set, listed in the request, made by a `generator`, or in a `file` (multipart, what is looked for in the
    field `wish`). Models are pinned now; a worker does the rest."""
    if request is not None:
        job = service.announcing(request.webhook).create(request, idempotency_key)
    elif file is None or wish is None:
        raise InvalidRequest(
            "Send JSON with `dataset_id`, `candidates` or `generator`, or a `file` and a `wish` as multipart/form-data."
        )
    else:
        asked = _validated(ScreeningWish, wish, "wish")
        job = service.announcing(webhook).create_from_file(file.filename or "", file.file, asked, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return job


@router.get("", responses=problem_responses(), summary="Screenings")
def list_screenings(
    service: ServiceDep,
    status: Annotated[list[JobStatus] | None, Query(description="Only those in these states.")] = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[ScreeningRead]:
    """Newest first."""
    items, following = service.page(status or [], cursor, limit)
    return Page(items=items, next=following)


@router.get("/{job_id}", responses=problem_responses(JobNotFound), summary="One screening")
def get_screening(job_id: JobId, service: ServiceDep) -> ScreeningRead:
    """Its state, what is looked for, how far it is, and what became of the candidates."""
    return service.get(job_id)


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    responses=problem_responses(JobNotFound, JobNotCancellable),
    summary="Cancel a screening",
)
def cancel_screening(job_id: JobId, service: ServiceDep) -> ScreeningRead:
    """What waits is cancelled at once, what runs within seconds."""
    return service.cancel(job_id)


@router.get(
    "/{job_id}/events",
    summary="What happened in a screening",
    response_model=JobEventList,
    responses={200: {"content": {EVENT_STREAM: {}}}, **problem_responses(JobNotFound)},
)
def list_screening_events(
    job_id: JobId, request: Request, sessions: SessionsDep, after: EventsAfter = 0,
    limit: EventsLimit = EVENTS_PER_READ, last_event_id: LastEventId = None,
) -> JobEventList | EventSourceResponse:  # fmt: skip
    """What happened, in order: as a list, or live with `Accept: text/event-stream` until the job has ended."""
    stream = EventStream(sessions, JobKind.SCREENING, job_id, after if last_event_id is None else last_event_id)
    return answer_events(request, stream, limit)


@router.get(
    "/{job_id}/results",
    summary="The candidates",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One line for each candidate, units in the names of columns.",
            "content": {
                media_type.split(";")[0]: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()
            },
        },
        206: {"description": "The range that was asked for."},
        **problem_responses(JobNotFound, JobNotFinished, ResultsDeleted),
    },
)
def get_screening_results(
    job_id: JobId,
    service: ServiceDep,
    request: Request,
    fmt: Annotated[ResultFormat, Query(alias="format", description="Format of the file.")] = ResultFormat.CSV,
    scope: Annotated[
        ResultScope, Query(description="`selected`: best first. `all`: those first, then every other candidate.")
    ] = ResultScope.SELECTED,
) -> Response:
    """One line for each candidate: `rank` (null: not selected), `input_id`, `formula`, `row` (place in the input, from
    1), `status`, `reason` in words, `probability` of meeting all constraints, `probability_at_least` (whatever the
    errors of different properties have to do with each other), `front` (Pareto), and for each property `KEY [unit]`,
    `KEY lower [unit]`, `KEY upper [unit]`, `KEY probability`, `KEY expected [unit]`, `KEY in_domain`,
    `KEY domain_score`, `KEY model`."""
    table = service.results(job_id, scope)

    def make() -> Iterator[bytes]:
        return encode(pieces(table), fmt, table.schema)

    return answer_download(request, make, etag_of(job_id, fmt, scope), MEDIA_TYPES[fmt], f"{job_id}.{fmt.value}")


@router.get(
    "/{job_id}/structures",
    summary="CIFs of the selected candidates",
    response_class=StreamingResponse,
    responses={
        200: {"description": "A zip.", "content": {"application/zip": {"schema": {"type": "string"}}}},
        **problem_responses(JobNotFound, JobNotFinished, ResultsDeleted, InputKindMismatch),
    },
)
def get_screening_structures(job_id: JobId, service: ServiceDep) -> StreamingResponse:
    """A zip of CIFs, in P1, named by rank and id; refused for candidates that are compositions."""
    headers = {"Content-Disposition": f'attachment; filename="{job_id}.zip"'}
    return StreamingResponse(service.structures(job_id), media_type="application/zip", headers=headers)


@router.delete(
    "/{job_id}",
    status_code=204,
    responses=problem_responses(JobNotFound, JobNotFinished),
    summary="Delete the results",
)
def delete_screening_results(job_id: JobId, service: ServiceDep) -> None:
    """Frees what results and input take on disk; the job stays listed. Refused before it has ended."""
    service.delete(job_id)
