"""The calls that jobs over files have in common, beside those of all jobs."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.bulk.file_jobs import FileJobs
from app.bulk.results import MEDIA_TYPES
from app.core.errors import (
    AliasNotFound,
    DatasetInvalid,
    DatasetNotFound,
    IdempotencyConflict,
    InputKindMismatch,
    InvalidArchive,
    JobNotFinished,
    JobNotFound,
    ModelNotFound,
    ModelVersionNotFound,
    PayloadTooLarge,
    PropertyNotFound,
    ResultsDeleted,
    TooManyInputs,
    WebhookRefused,
)
from app.jobs.deps import JobId
from app.jobs.kinds import JobKind
from app.jobs.routes import JobCalls, JobWords
from app.web.problems import problem_responses

JSON = "application/json"

CREATE_PROBLEMS = (
    DatasetInvalid, InvalidArchive, TooManyInputs, InputKindMismatch, PayloadTooLarge, DatasetNotFound,
    ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound, IdempotencyConflict, WebhookRefused,
)  # fmt: skip

M = TypeVar("M", bound=BaseModel)

OfFileJobs = Callable[..., FileJobs[Any]]
"""The dependency that gives the service."""


def validated(model: type[M], content: str | bytes, where: str) -> M:
    """Raises RequestValidationError, with places below `where`."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": (where, *e["loc"])} for e in error.errors()]) from None


async def json_content(request: Request) -> bytes | None:
    """The body of a request in JSON; None for one with a file."""
    return await request.body() if request.headers.get("content-type", "").startswith(JSON) else None


def results_responses(description: str) -> dict[int | str, dict[str, Any]]:
    """What a call answers that sends results as a file."""
    content = {media_type.split(";")[0]: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}
    return {
        200: {"description": description, "content": content},
        206: {"description": "The range that was asked for."},
        **problem_responses(JobNotFound, JobNotFinished, ResultsDeleted),
    }


def add_job_calls(router: APIRouter, of_service: OfFileJobs, kind: JobKind, read: type[BaseModel], shown: str) -> None:
    """`read` is what is shown of a job, `shown` says so in words."""

    def delete_results(job_id: JobId, service: Annotated[FileJobs[Any], Depends(of_service)]) -> None:
        service.delete(job_id)

    JobCalls(router, of_service, kind, read, _words(kind, shown)).add()
    router.add_api_route(
        "/{job_id}", delete_results, name=f"delete_{kind.value}_results", methods=["DELETE"], status_code=204,
        summary="Delete the results", description="Frees what results and input take on disk; the job stays listed. "
        "Refused before it has ended.", responses=problem_responses(JobNotFound, JobNotFinished),
    )  # fmt: skip


def _words(kind: JobKind, shown: str) -> JobWords:
    return JobWords(
        kind.value, kind.label, shown,
        cancelled="What waits is cancelled at once, what runs within seconds. What is predicted is kept.",
        paused="What waits is paused at once; what runs stops within seconds, on all workers, and keeps what is "
        "predicted.",
        resumed="It waits for a worker again and goes on with what is not predicted yet.",
        retried="A new job that asks for the same as one that failed, expired or was cancelled; that one stays as it "
        "is. Its input is kept until its results are deleted, at most a day.",
    )  # fmt: skip
