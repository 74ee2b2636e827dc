"""What may end a job, and the loss of a lease, which no user ever sees."""

from enum import StrEnum


class JobErrorCode(StrEnum):
    """Codes of failed jobs beside those of `app.core.errors`."""

    WORKER_LOST = "worker_lost"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    TRAINING_DIVERGED = "training_diverged"
    TRAINING_FAILED = "training_failed"
    RUN_FAILED = "run_failed"


class LeaseLost(Exception):
    """Another worker, the reaper or a cancellation took the job: whoever gets this must stop and write nothing."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"the lease of job {job_id} is lost")
        self.job_id = job_id
