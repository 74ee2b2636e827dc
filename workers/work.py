"""What the kinds of jobs have in common for their supervisor."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sqlalchemy.orm import Session

from app.jobs.errors import JobErrorCode
from app.jobs.models import Job
from workers.attempt import AttemptFolder

if TYPE_CHECKING:
    from workers.lease import Lease

Event = dict[str, Any]
"""`kind`, `message` and `data`."""


class Outcome(NamedTuple):
    """`result` of the job's row, and what its last event says."""

    result: dict[str, Any]
    reason: str


class Work(ABC):
    """One attempt at a job of one kind. Errors it raises end the attempt, XtalforgeError the job."""

    module: str
    """Run as `python -m MODULE FOLDER`; its exit codes are those of `workers.attempt`."""

    failure_code: ClassVar[JobErrorCode]
    memory_advice: ClassVar[str]
    """What to do when the process was killed, which is mostly for want of memory."""

    def __init__(self, lease: "Lease", job: Job, folder: AttemptFolder) -> None:
        self.lease = lease
        self.worker = lease.worker
        self.job = job
        self.folder = folder

    @abstractmethod
    def prepare(self, keep_lease: Callable[[], None]) -> None:
        """Write what the process needs; `keep_lease` is to be called at least every few seconds."""

    def keep(self, events: Sequence[Event]) -> None:  # noqa: B027 - most kinds have nothing to do
        """Store the files the events speak of; called again with the same events when `record` could not be done."""

    def record(self, session: Session, events: Sequence[Event]) -> Sequence[Event]:  # noqa: ARG002
        """Write what the events mean, in the transaction that holds the lease; those to be told to users."""
        return events

    def recorded(self, events: Sequence[Event]) -> None:  # noqa: B027
        """Called once what `record` wrote is committed."""

    def renew(self, session: Session) -> None:  # noqa: B027
        """Renew what else the attempt has leased. Raises LeaseLost."""

    def look_after(self) -> None:  # noqa: B027
        """Called a few times a second while the process runs. Raises LeaseLost."""

    @abstractmethod
    def has_result(self) -> bool:
        """Whether the process, which ended well, left a result."""

    @abstractmethod
    def finish(self, session: Session) -> Outcome:
        """Write the result, in the transaction that ends the job as succeeded."""

    def ended(self) -> None:  # noqa: B027
        """The job has ended, however; nothing of it will run again."""

    def left(self) -> None:  # noqa: B027
        """This attempt is over, and the job may go on without it."""
