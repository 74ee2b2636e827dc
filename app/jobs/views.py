"""What every kind of job shows alike."""

from datetime import datetime
from typing import Any

from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.schemas import JobErrorRead
from app.jobs.status import JobStatus


def job_fields(job: Job) -> dict[str, Any]:
    """The fields by which answers tell the state of a job."""
    return {
        "id": job.id,
        "status": JobStatus(job.status),
        "status_reason": job.status_reason,
        "error": JobErrorRead(code=job.error_code, detail=job.status_reason or "") if job.error_code else None,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "attempts": job.attempts,
    }


def job_notice(job: Job) -> dict[str, Any]:
    """What a webhook says of a job that ended; whoever wants more asks for `path`."""
    is_known = job.kind in list(JobKind)
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "status_reason": job.status_reason,
        "error_code": job.error_code,
        "path": f"{JobKind(job.kind).path}/{job.id}" if is_known else None,
        "created_at": _text(job.created_at),
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
    }


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat(timespec="seconds") if instant is not None else None
