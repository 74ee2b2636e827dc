"""The calls under /v1/screenings."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from app.bulk.download import answer_download, etag_of
from app.bulk.formats import ResultFormat
from app.bulk.job_routes import CREATE_PROBLEMS, JSON, add_job_calls, json_content, results_responses, validated
from app.bulk.results import MEDIA_TYPES, encode
from app.core.errors import InputKindMismatch, InvalidRequest, JobNotFinished, JobNotFound, ResultsDeleted
from app.jobs.deps import IdempotencyKey, JobId, JobSenderDep
from app.jobs.kinds import JobKind
from app.predictions.deps import DirectoryDep
from app.registry.deps import StoreDep
from app.screening.examples import EXAMPLES
from app.screening.schemas import ResultScope, ScreeningCreate, ScreeningRead
from app.screening.service import ScreeningService
from app.screening.table import pieces
from app.screening.wish import ScreeningWish
from app.web.deps import SessionsDep, SettingsDep
from app.web.problems import problem_responses
from app.webhooks.deps import WebhookFields

router = APIRouter(prefix="/v1/screenings", tags=["screening"])


def _service(
    sessions: SessionsDep, store: StoreDep, settings: SettingsDep, directory: DirectoryDep
) -> ScreeningService:
    return ScreeningService(sessions, store, settings, directory)


ServiceDep = Annotated[ScreeningService, Depends(_service)]


def _json_request(content: Annotated[bytes | None, Depends(json_content)]) -> ScreeningCreate | None:
    return validated(ScreeningCreate, content, "body") if content is not None else None


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
    responses=problem_responses(*CREATE_PROBLEMS),
)
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
        asked = validated(ScreeningWish, wish, "wish")
        job = service.announcing(webhook).create_from_file(file.filename or "", file.file, asked, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return job


add_job_calls(
    router, _service, JobKind.SCREENING, ScreeningRead,
    "Its state, what is looked for, how far it is, and what became of the candidates.",
)  # fmt: skip


@router.get(
    "/{job_id}/results",
    summary="The candidates",
    response_class=StreamingResponse,
    responses=results_responses("One line for each candidate, units in the names of columns."),
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
