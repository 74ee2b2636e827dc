"""The states of a job and the only moves between them."""

from enum import StrEnum


class JobStatus(StrEnum):
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
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
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLED, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({
        # A lease that ran out may be claimed directly by the next worker, or goes back to the queue first.
        JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.PAUSING,
        JobStatus.CANCELLING, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED,
    }),
    JobStatus.PAUSING: frozenset({
        # To running when it is to go on before its worker has stopped; to an end when that came first.
        JobStatus.PAUSED, JobStatus.RUNNING,
        JobStatus.CANCELLING, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.EXPIRED,
    }),
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.CANCELLING: frozenset({JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
    JobStatus.EXPIRED: frozenset(),
}  # fmt: skip
"""Legal moves; a state without any is an end."""

HELD = (JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING)
"""States in which a worker holds the lease."""

TERMINAL = tuple(status for status in JobStatus if status.is_terminal)


def sources_of(target: JobStatus) -> tuple[JobStatus, ...]:
    """The states a job may be in when it moves to `target`."""
    return tuple(status for status in JobStatus if target in TRANSITIONS[status])
