"""The states of a job and the only moves between them."""

from enum import StrEnum


class JobStatus(StrEnum):
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.VALIDATING: frozenset({JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({
        # A lease that ran out may be claimed directly by the next worker, or goes back to the queue first.
        JobStatus.RUNNING, JobStatus.QUEUED,
        JobStatus.CANCELLING, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED,
    }),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}  # fmt: skip
"""Legal moves; a state without any is an end."""

TERMINAL = tuple(status for status in JobStatus if status.is_terminal)


def sources_of(target: JobStatus) -> tuple[JobStatus, ...]:
    """The states a job may be in when it moves to `target`."""
    return tuple(status for status in JobStatus if target in TRANSITIONS[status])
