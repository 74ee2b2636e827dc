"""The calls under /v1/fine-tuning."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from sse_starlette import EventSourceResponse

from app.core.errors import (
    AliasNotFound,
    DatasetNotFound,
    IdempotencyConflict,
    InputKindMismatch,
    InvalidJob,
    InvalidName,
    JobNotCancellable,
    JobNotFinished,
    JobNotFound,
    JobNotPausable,
    JobNotResumable,
    JobNotRetryable,
    ModelMismatch,
    ModelNotFound,
    ModelVersionNotFound,
    WebhookRefused,
)
from app.fine_tuning.report_page import CONTENT_SECURITY_POLICY, render_page
from app.fine_tuning.report_schemas import FineTuningReport, ReportFormat
from app.fine_tuning.schemas import FineTuningJobCreate, FineTuningJobRead, MethodList
from app.fine_tuning.service import FineTuningService
from app.fine_tuning.views import methods_read
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
from app.registry.deps import StoreDep
from app.web.deps import SessionDep, SessionsDep, SettingsDep
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses

HTML = "text/html"

router = APIRouter(prefix="/v1/fine-tuning", tags=["fine-tuning"])


@router.get("/methods", summary="Ways to train")
def list_methods() -> MethodList:
    """The ways to train on offer, with the architecture each fits."""
    return MethodList(items=methods_read())


@router.post(
    "/jobs",
    status_code=201,
    summary="Train a model on a data set",
    responses=problem_responses(
        InvalidJob,
        InvalidName,
        InputKindMismatch,
        DatasetNotFound,
        ModelNotFound,
        AliasNotFound,
        ModelVersionNotFound,
        ModelMismatch,
        IdempotencyConflict,
        WebhookRefused,
    ),
)
def create_job(
    body: FineTuningJobCreate, response: Response, sender: JobSenderDep, session: SessionDep,
    store: StoreDep, settings: SettingsDep,
    idempotency_key: IdempotencyKey = None,
) -> FineTuningJobRead:  # fmt: skip
    """Everything is checked now; the training itself runs in a worker. See the job's events for its progress."""
    job = FineTuningService(session, store, settings).create(body, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/jobs/{job.id}"
    return job


@router.get("/jobs", responses=problem_responses(), summary="Jobs")
def list_jobs(
    session: SessionDep, store: StoreDep, settings: SettingsDep,
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs in these states.")] = None,
    limit: PageLimit = 50, cursor: PageCursor = None,
) -> Page[FineTuningJobRead]:  # fmt: skip
    """Jobs, newest first."""
    items, following = FineTuningService(session, store, settings).page(status or [], cursor, limit)
    return Page(items=items, next=following)


@router.get("/jobs/{job_id}", responses=problem_responses(JobNotFound), summary="One job")
def get_job(job_id: JobId, session: SessionDep, store: StoreDep, settings: SettingsDep) -> FineTuningJobRead:
    """Its state, every choice made for it, the last epoch, and the model version it made."""
    return FineTuningService(session, store, settings).get(job_id)


@router.get(
    "/jobs/{job_id}/report",
    response_model=FineTuningReport,
    responses={
        200: {"content": {HTML: {"schema": {"type": "string"}}}},
        **problem_responses(JobNotFound, JobNotFinished),
    },
    summary="What a job found",
)
def get_report(
    job_id: JobId, request: Request, response: Response, session: SessionDep, store: StoreDep, settings: SettingsDep,
    fmt: Annotated[
        ReportFormat | None, Query(alias="format", description="Instead of what the header `Accept` asks for.")
    ] = None,
) -> FineTuningReport | HTMLResponse:  # fmt: skip
    """Of a job that succeeded: its rows, its errors and, of method `auto`, how each entrant fared and why the winner
    was chosen. As JSON, or with `Accept: text/html` (as browsers send) or `?format=html` as a page to read."""
    report = FineTuningService(session, store, settings).report(job_id)
    vary = {"Vary": "Accept"}
    if fmt is ReportFormat.HTML or (fmt is None and _prefers_html(request.headers.get("accept", ""))):
        return HTMLResponse(render_page(report), headers=vary | {"Content-Security-Policy": CONTENT_SECURITY_POLICY})
    response.headers.update(vary)
    return report


@router.post(
    "/jobs/{job_id}/cancel",
    status_code=202,
    responses=problem_responses(JobNotFound, JobNotCancellable),
    summary="Cancel a job",
)
def cancel_job(job_id: JobId, session: SessionDep, store: StoreDep, settings: SettingsDep) -> FineTuningJobRead:
    """Cancel at once what waits; what runs is stopped within seconds."""
    return FineTuningService(session, store, settings).cancel(job_id)


@router.post(
    "/jobs/{job_id}/pause",
    status_code=202,
    responses=problem_responses(JobNotFound, JobNotPausable),
    summary="Pause a job",
)
def pause_job(job_id: JobId, session: SessionDep, store: StoreDep, settings: SettingsDep) -> FineTuningJobRead:
    """What waits is paused at once; what runs stops within seconds and keeps its last checkpoint."""
    return FineTuningService(session, store, settings).pause(job_id)


@router.post(
    "/jobs/{job_id}/resume",
    status_code=202,
    responses=problem_responses(JobNotFound, JobNotResumable),
    summary="Go on with a paused job",
)
def resume_job(
    job_id: JobId, sender: JobSenderDep, session: SessionDep, store: StoreDep, settings: SettingsDep,
) -> FineTuningJobRead:  # fmt: skip
    """It waits for a worker again and goes on from its last checkpoint."""
    job = FineTuningService(session, store, settings).resume(job_id)
    sender.send(job.id, job.status)
    return job


@router.post(
    "/jobs/{job_id}/retry",
    status_code=201,
    responses=problem_responses(JobNotFound, JobNotRetryable, DatasetNotFound, IdempotencyConflict),
    summary="Try a job again",
)
def retry_job(
    job_id: JobId, response: Response, sender: JobSenderDep, session: SessionDep,
    store: StoreDep, settings: SettingsDep, idempotency_key: IdempotencyKey = None,
) -> FineTuningJobRead:  # fmt: skip
    """A new job with the same choices as one that failed, expired or was cancelled; that one stays as it is."""
    job = FineTuningService(session, store, settings).retry(job_id, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/jobs/{job.id}"
    return job


@router.get(
    "/jobs/{job_id}/events",
    summary="What happened in a job",
    response_model=JobEventList,
    responses={200: {"content": {EVENT_STREAM: {}}}, **problem_responses(JobNotFound)},
)
def list_events(
    job_id: JobId, request: Request, sessions: SessionsDep, after: EventsAfter = 0,
    limit: EventsLimit = EVENTS_PER_READ, last_event_id: LastEventId = None,
) -> JobEventList | EventSourceResponse:  # fmt: skip
    """What happened, in order: as a list, or live with `Accept: text/event-stream` until the job has ended."""
    stream = EventStream(sessions, JobKind.FINE_TUNING, job_id, after if last_event_id is None else last_event_id)
    return answer_events(request, stream, limit)


def _prefers_html(accept: str) -> bool:
    """Whether a client names HTML, and not JSON before it."""
    named = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    return HTML in named and "application/json" not in named[: named.index(HTML)]
