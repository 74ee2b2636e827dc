"""The calls that jobs of every kind have: listed, looked at, ordered about, followed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from app.core.errors import (
    DatasetNotFound,
    IdempotencyConflict,
    JobNotCancellable,
    JobNotFound,
    JobNotPausable,
    JobNotResumable,
    JobNotRetryable,
    XtalforgeError,
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


class Jobs(Protocol):
    """The service of one kind of jobs. What it gives of a job has `id` and `status`."""

    def page(self, statuses: Sequence[JobStatus], cursor: str | None, limit: int) -> tuple[Sequence[Any], str | None]:
        """The newest first, and where the next page begins."""

    def get(self, job_id: str) -> Any:
        """Raises JobNotFound, as all below do."""

    def cancel(self, job_id: str) -> Any:
        """Raises JobNotCancellable."""

    def pause(self, job_id: str) -> Any:
        """Raises JobNotPausable."""

    def resume(self, job_id: str) -> Any:
        """Raises JobNotResumable."""

    def retry(self, job_id: str, idempotency_key: str | None) -> Any:
        """A new job. Raises JobNotRetryable, DatasetNotFound, IdempotencyConflict."""


OfService = Callable[..., Jobs]
"""The dependency that gives the service."""


@dataclass(frozen=True, slots=True)
class JobWords:
    """How one kind of jobs is spoken of in the API's description."""

    name: str
    """`bulk_prediction`: in the names of operations."""
    label: str
    """`bulk prediction`."""
    shown: str
    """What one job shows."""
    cancelled: str
    paused: str
    resumed: str
    retried: str


@dataclass(frozen=True, slots=True)
class JobCalls:
    """Where the calls of one kind of jobs go. `read` is what is shown of a job."""

    router: APIRouter
    of_service: OfService
    kind: JobKind
    read: type[BaseModel]
    words: JobWords

    def add(self) -> None:
        """At the path of the kind, which begins with the router's prefix."""
        self._add_reading()
        self._add_stops()
        self._add_goings_on()
        self._add_events()

    def _path(self, below: str = "") -> str:
        return self.kind.path.removeprefix(self.router.prefix) + below

    def _add_reading(self) -> None:
        words, of_service = self.words, self.of_service

        def list_jobs(
            service: Annotated[Jobs, Depends(of_service)],
            status: Annotated[list[JobStatus] | None, Query(description="Only those in these states.")] = None,
            limit: PageLimit = 50,
            cursor: PageCursor = None,
        ) -> Any:
            items, following = service.page(status or [], cursor, limit)
            return {"items": items, "next": following}

        def get_job(job_id: JobId, service: Annotated[Jobs, Depends(of_service)]) -> Any:
            return service.get(job_id)

        self.router.add_api_route(
            self._path(), list_jobs, name=f"list_{words.name}s", response_model=Page[self.read],  # type: ignore[name-defined]
            summary=f"{words.label.capitalize()}s", description="Newest first.", responses=problem_responses(),
        )  # fmt: skip
        self.router.add_api_route(
            self._path("/{job_id}"), get_job, name=f"get_{words.name}", response_model=self.read,
            summary=f"One {words.label}", description=words.shown, responses=problem_responses(JobNotFound),
        )  # fmt: skip

    def _add_stops(self) -> None:
        words, of_service = self.words, self.of_service

        def cancel_job(job_id: JobId, service: Annotated[Jobs, Depends(of_service)]) -> Any:
            return service.cancel(job_id)

        def pause_job(job_id: JobId, service: Annotated[Jobs, Depends(of_service)]) -> Any:
            return service.pause(job_id)

        self._add_order("cancel", cancel_job, f"Cancel a {words.label}", words.cancelled, 202, JobNotCancellable)
        self._add_order("pause", pause_job, f"Pause a {words.label}", words.paused, 202, JobNotPausable)

    def _add_goings_on(self) -> None:
        words, of_service, path = self.words, self.of_service, self.kind.path

        def resume_job(job_id: JobId, sender: JobSenderDep, service: Annotated[Jobs, Depends(of_service)]) -> Any:
            job = service.resume(job_id)
            sender.send(job.id, job.status)
            return job

        def retry_job(
            job_id: JobId, response: Response, sender: JobSenderDep,
            service: Annotated[Jobs, Depends(of_service)], idempotency_key: IdempotencyKey = None,
        ) -> Any:  # fmt: skip
            job = service.retry(job_id, idempotency_key)
            sender.send(job.id, job.status)
            response.headers["Location"] = f"{path}/{job.id}"
            return job

        summary = f"Go on with a paused {words.label}"
        self._add_order("resume", resume_job, summary, words.resumed, 202, JobNotResumable)
        problems = (JobNotRetryable, DatasetNotFound, IdempotencyConflict)
        self._add_order("retry", retry_job, f"Try a {words.label} again", words.retried, 201, *problems)

    def _add_order(
        self, order: str, endpoint: Callable[..., Any], summary: str, description: str, status_code: int,
        *problems: type[XtalforgeError],
    ) -> None:  # fmt: skip
        self.router.add_api_route(
            self._path(f"/{{job_id}}/{order}"), endpoint, name=f"{order}_{self.words.name}", methods=["POST"],
            status_code=status_code, response_model=self.read, summary=summary, description=description,
            responses=problem_responses(JobNotFound, *problems),
        )  # fmt: skip

    def _add_events(self) -> None:
        kind, words = self.kind, self.words

        def list_events(
            job_id: JobId, request: Request, sessions: SessionsDep, after: EventsAfter = 0,
            limit: EventsLimit = EVENTS_PER_READ, last_event_id: LastEventId = None,
        ) -> JobEventList | EventSourceResponse:  # fmt: skip
            stream = EventStream(sessions, kind, job_id, after if last_event_id is None else last_event_id)
            return answer_events(request, stream, limit)

        self.router.add_api_route(
            self._path("/{job_id}/events"), list_events, name=f"list_{words.name}_events", response_model=JobEventList,
            summary=f"What happened in a {words.label}", description="What happened, in order: as a list, or live with "
            "`Accept: text/event-stream` until the job has ended.",
            responses={200: {"content": {EVENT_STREAM: {}}}, **problem_responses(JobNotFound)},
        )  # fmt: skip
