"""The calls under /v1/fine-tuning."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse

from app.core.errors import (
    AliasNotFound,
    DatasetNotFound,
    IdempotencyConflict,
    InputKindMismatch,
    InvalidJob,
    InvalidName,
    JobNotFinished,
    JobNotFound,
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
from app.jobs.routes import JobCalls, JobWords
from app.registry.deps import StoreDep
from app.web.deps import SessionDep, SettingsDep
from app.web.problems import problem_responses

HTML = "text/html"

_WORDS = JobWords(
    "job", "job", shown="Its state, every choice made for it, the last epoch, and the model version it made.",
    cancelled="Cancel at once what waits; what runs is stopped within seconds.",
    paused="What waits is paused at once; what runs stops within seconds and keeps its last checkpoint.",
    resumed="It waits for a worker again and goes on from its last checkpoint.",
    retried="A new job with the same choices as one that failed, expired or was cancelled; that one stays as it is.",
)  # fmt: skip

router = APIRouter(prefix="/v1/fine-tuning", tags=["fine-tuning"])


def _service(session: SessionDep, store: StoreDep, settings: SettingsDep) -> FineTuningService:
    return FineTuningService(session, store, settings)


ServiceDep = Annotated[FineTuningService, Depends(_service)]


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
    body: FineTuningJobCreate, response: Response, sender: JobSenderDep, service: ServiceDep,
    idempotency_key: IdempotencyKey = None,
) -> FineTuningJobRead:  # fmt: skip
    """Everything is checked now; the training itself runs in a worker. See the job's events for its progress."""
    job = service.create(body, idempotency_key)
    sender.send(job.id, job.status)
    response.headers["Location"] = f"{router.prefix}/jobs/{job.id}"
    return job


JobCalls(router, _service, JobKind.FINE_TUNING, FineTuningJobRead, _WORDS).add()


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
    job_id: JobId, request: Request, response: Response, service: ServiceDep,
    fmt: Annotated[
        ReportFormat | None, Query(alias="format", description="Instead of what the header `Accept` asks for.")
    ] = None,
) -> FineTuningReport | HTMLResponse:  # fmt: skip
    """Of a job that succeeded: its rows, its errors and, of method `auto`, how each entrant fared and why the winner
    was chosen. As JSON, or with `Accept: text/html` (as browsers send) or `?format=html` as a page to read."""
    report = service.report(job_id)
    vary = {"Vary": "Accept"}
    if fmt is ReportFormat.HTML or (fmt is None and _prefers_html(request.headers.get("accept", ""))):
        return HTMLResponse(render_page(report), headers=vary | {"Content-Security-Policy": CONTENT_SECURITY_POLICY})
    response.headers.update(vary)
    return report


def _prefers_html(accept: str) -> bool:
    """Whether a client names HTML, and not JSON before it."""
    named = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    return HTML in named and "application/json" not in named[: named.index(HTML)]
