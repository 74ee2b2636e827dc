"""The tasks: thin, since SQL knows everything about a job but its id."""

from celery import shared_task

from app.jobs.queue import RUN_JOB_TASK
from workers import runtime
from workers.supervisor import run_attempt


@shared_task(name=RUN_JOB_TASK)  # type: ignore[untyped-decorator]
def run_job(job_id: str) -> None:
    """Claim the job and see one attempt through; a job that somebody else holds or that ended is left alone."""
    run_attempt(runtime.context(), job_id)
