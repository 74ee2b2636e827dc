"""The calls that jobs over files have in common: listed, looked at, ordered about, followed, cleared away."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sse_starlette import EventSourceResponse

from app.bulk.file_jobs import FileJobs
from app.bulk.results import MEDIA_TYPES
from app.core.errors import (
    AliasNotFound,
    DatasetInvalid,
    DatasetNotFound,
    IdempotencyConflict,
    InputKindMismatch,
    InvalidArchive,
    JobNotCancellable,
    JobNotFinished,
    JobNotFound,
    JobNotPausable,
    JobNotResumable,
    JobNotRetryable,
    ModelNotFound,
    ModelVersionNotFound,
    PayloadTooLarge,
    PropertyNotFound,
    ResultsDeleted,
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
from app.web.deps import SessionsDep
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses

JSON = "application/json"

CREATE_PROBLEMS = (
    DatasetInvalid, InvalidArchive, TooManyInputs, InputKindMismatch, PayloadTooLarge, DatasetNotFound,
    ModelNotFound, ModelVersionNotFound, AliasNotFound, PropertyNotFound, IdempotencyConflict, WebhookRefused,
)  # fmt: skip

M = TypeVar("M", bound=BaseModel)

OfService = Callable[..., FileJobs[Any]]
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


def add_job_calls(router: APIRouter, of_service: OfService, kind: JobKind, read: type[BaseModel], shown: str) -> None:
    """`read` is what is shown of a job, `shown` says so in words."""
    slug = kind.value
    a_job = f"a {kind.label}"

    def list_jobs(
        service: Annotated[FileJobs[Any], Depends(of_service)],
        status: Annotated[list[JobStatus] | None, Query(description="Only those in these states.")] = None,
        limit: PageLimit = 50,
        cursor: PageCursor = None,
    ) -> Any:
        items, following = service.page(status or [], cursor, limit)
        return {"items": items, "next": following}

    def get_job(job_id: JobId, service: Annotated[FileJobs[Any], Depends(of_service)]) -> Any:
        return service.get(job_id)

    def list_events(
        job_id: JobId, request: Request, sessions: SessionsDep, after: EventsAfter = 0,
        limit: EventsLimit = EVENTS_PER_READ, last_event_id: LastEventId = None,
    ) -> JobEventList | EventSourceResponse:  # fmt: skip
        stream = EventStream(sessions, kind, job_id, after if last_event_id is None else last_event_id)
        return answer_events(request, stream, limit)

    def delete_results(job_id: JobId, service: Annotated[FileJobs[Any], Depends(of_service)]) -> None:
        service.delete(job_id)

    router.add_api_route(
        "", list_jobs, name=f"list_{slug}s", response_model=Page[read],  # type: ignore[valid-type]
        summary=f"{kind.label.capitalize()}s", description="Newest first.", responses=problem_responses(),
    )  # fmt: skip
    router.add_api_route(
        "/{job_id}", get_job, name=f"get_{slug}", response_model=read, summary=f"One {kind.label}", description=shown,
        responses=problem_responses(JobNotFound),
    )  # fmt: skip
    _add_orders(router, of_service, kind, read)
    router.add_api_route(
        "/{job_id}/events", list_events, name=f"list_{slug}_events", response_model=JobEventList,
        summary=f"What happened in {a_job}", description="What happened, in order: as a list, or live with `Accept: "
        "text/event-stream` until the job has ended.",
        responses={200: {"content": {EVENT_STREAM: {}}}, **problem_responses(JobNotFound)},
    )  # fmt: skip
    router.add_api_route(
        "/{job_id}", delete_results, name=f"delete_{slug}_results", methods=["DELETE"], status_code=204,
        summary="Delete the results", description="Frees what results and input take on disk; the job stays listed. "
        "Refused before it has ended.", responses=problem_responses(JobNotFound, JobNotFinished),
    )  # fmt: skip


def _add_orders(router: APIRouter, of_service: OfService, kind: JobKind, read: type[BaseModel]) -> None:
    """Cancel, pause, resume and retry."""
    slug, a_job = kind.value, f"a {kind.label}"

    def cancel_job(job_id: JobId, service: Annotated[FileJobs[Any], Depends(of_service)]) -> Any:
        return service.cancel(job_id)

    def pause_job(job_id: JobId, service: Annotated[FileJobs[Any], Depends(of_service)]) -> Any:
        return service.pause(job_id)

    def resume_job(job_id: JobId, sender: JobSenderDep, service: Annotated[FileJobs[Any], Depends(of_service)]) -> Any:
        job = service.resume(job_id)
        sender.send(job.id, job.status)
        return job

    def retry_job(
        job_id: JobId, response: Response, sender: JobSenderDep,
        service: Annotated[FileJobs[Any], Depends(of_service)], idempotency_key: IdempotencyKey = None,
    ) -> Any:  # fmt: skip
        job = service.retry(job_id, idempotency_key)
        sender.send(job.id, job.status)
        response.headers["Location"] = f"{router.prefix}/{job.id}"
        return job

    orders: list[tuple[str, Callable[..., Any], str, str, int, tuple[type[Exception], ...]]] = [
        ("cancel", cancel_job, f"Cancel {a_job}", "What waits is cancelled at once, what runs within seconds. What is "
         "predicted is kept.", 202, (JobNotCancellable,)),
        ("pause", pause_job, f"Pause {a_job}", "What waits is paused at once; what runs stops within seconds, on all "
         "workers, and keeps what is predicted.", 202, (JobNotPausable,)),
        ("resume", resume_job, f"Go on with a paused {kind.label}", "It waits for a worker again and goes on with what "
         "is not predicted yet.", 202, (JobNotResumable,)),
        ("retry", retry_job, f"Try {a_job} again", "A new job that asks for the same as one that failed, expired or "
         "was cancelled; that one stays as it is. Its input is kept until its results are deleted, at most a day.",
         201, (JobNotRetryable, DatasetNotFound, IdempotencyConflict)),
    ]  # fmt: skip
    for order, endpoint, summary, description, status_code, problems in orders:
        router.add_api_route(
            f"/{{job_id}}/{order}", endpoint, name=f"{order}_{slug}", methods=["POST"], status_code=status_code,
            response_model=read, summary=summary, description=description,
            responses=problem_responses(JobNotFound, *problems),  # type: ignore[arg-type]
        )  # fmt: skip
