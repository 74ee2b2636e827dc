"""What every kind of job shows alike."""

from typing import Any

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
