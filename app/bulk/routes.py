"""The calls under /v1/bulk-predictions."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from app.bulk.download import answer_download, etag_of
from app.bulk.formats import ResultFormat
from app.bulk.job_routes import CREATE_PROBLEMS, JSON, add_job_calls, json_content, results_responses, validated
from app.bulk.results import MEDIA_TYPES, encode
from app.bulk.schemas import BulkPredictionCreate, BulkPredictionRead, ModelChoice
from app.bulk.service import BulkService
from app.core.errors import InvalidRequest
from app.jobs.deps import IdempotencyKey, JobId, JobSenderDep
from app.jobs.kinds import JobKind
from app.predictions.deps import DirectoryDep
from app.predictions.schemas import DEFAULT_LEVEL, LEVEL_DESCRIPTION, MAX_MODELS, IntervalLevel, Reference
from app.registry.deps import StoreDep
from app.web.deps import SessionsDep, SettingsDep
from app.web.problems import problem_responses
from app.webhooks.deps import WebhookFields

router = APIRouter(prefix="/v1/bulk-predictions", tags=["bulk predictions"])


def _service(sessions: SessionsDep, store: StoreDep, settings: SettingsDep, directory: DirectoryDep) -> BulkService:
    return BulkService(sessions, store, settings, directory)


ServiceDep = Annotated[BulkService, Depends(_service)]


def _dataset_request(content: Annotated[bytes | None, Depends(json_content)]) -> BulkPredictionCreate | None:
    return validated(BulkPredictionCreate, content, "body") if content is not None else None


_JSON_BODY: dict[str, Any] = {
    "requestBody": {"content": {JSON: {"schema": BulkPredictionCreate.model_json_schema()}}, "required": True}
}


@router.post(
    "",
    status_code=201,
    summary="Predict from a file of any length",
    openapi_extra=_JSON_BODY,
    responses=problem_responses(*CREATE_PROBLEMS),
)
def create_bulk_prediction(
    service: ServiceDep, sender: JobSenderDep, response: Response,
    dataset_request: Annotated[BulkPredictionCreate | None, Depends(_dataset_request)],
    file: Annotated[
        UploadFile | None,
        File(
            description="CSV, JSONL or Parquet with a column `cif`, `poscar`, `structure`, `composition` or `formula` "
            "and, if you like, `id`; or a zip of structure files."
        ),
    ] = None,
    models: Annotated[
        list[Reference] | None,
        Form(min_length=1, max_length=MAX_MODELS, description="`NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`."),
    ] = None,
    properties: Annotated[
        list[Reference] | None,
        Form(min_length=1, max_length=MAX_MODELS, description="Property keys: the champions of these answer."),
    ] = None,
    interval_level: Annotated[IntervalLevel, Form(description=LEVEL_DESCRIPTION)] = DEFAULT_LEVEL,
    webhook: WebhookFields = None,
    idempotency_key: IdempotencyKey = None,
) -> BulkPredictionRead:  # fmt: skip
    """A file, or in JSON the `dataset_id` of a stored data set. The first rows are checked now, the models are pinned;
    a worker answers every row. `models` and `properties` may be repeated; without both, every champion that fits an
    input answers."""
    if dataset_request is not None:
        job = service.announcing(dataset_request.webhook).create_from_dataset(dataset_request, idempotency_key)
    elif file is None:
        raise InvalidRequest("Send a `file` as multipart/form-data, or JSON with the `dataset_id` of a data set.")
    elif models is not None and properties is not None:
        raise InvalidRequest("Give models or properties, not both: a model predicts one property.")
    else:
        choice = ModelChoice(models=models, properties=properties, interval_level=interval_level)
        job = service.announcing(webhook).create_from_file(file.filename or "", file.file, choice, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return job


add_job_calls(
    router, _service, JobKind.BULK_PREDICTION, BulkPredictionRead,
    "Its state, the models that answer, and how far it is.",
)  # fmt: skip


@router.get(
    "/{job_id}/results",
    summary="The results",
    response_class=StreamingResponse,
    responses=results_responses("One line for each input and model."),
)
def get_bulk_results(
    job_id: JobId,
    service: ServiceDep,
    request: Request,
    fmt: Annotated[ResultFormat, Query(alias="format", description="Format of the file.")] = ResultFormat.CSV,
    is_partial: Annotated[
        bool, Query(alias="partial", description="Also of a job that did not succeed: what it has so far.")
    ] = False,
) -> Response:
    """One line for each input and model, in the order of the file: `row` (place of the input, from 1), `input_id`,
    `property`, `value`, `lower` and `upper` (the interval; empty: the model has none of this level), `unit`, `model`,
    `version`, `in_domain` (false: unlike the training data), `domain_score` (1 is the limit), `notes`, and where there
    is no value `error_code` and `error_detail`. Sent as it is read, never held as a whole. A download that broke off
    goes on with `Range: bytes=N-` and, as `If-Range`, the `ETag` of the answer before."""
    parts = service.results(job_id, is_partial=is_partial)
    etag = etag_of(job_id, fmt, *parts.paths)
    name = f"{job_id}.{fmt.value}"
    return answer_download(request, lambda: encode(parts, fmt), etag, MEDIA_TYPES[fmt], name)
