"""How a worker takes part in a job: it leads it, which is to hold it, or it helps whoever does."""

from abc import ABC, abstractmethod
from enum import Enum, auto
from typing import ClassVar

from sqlalchemy.orm import Session

from app.core.db import open_session
from app.jobs.errors import LeaseLost
from app.jobs.kinds import QueueName
from app.jobs.service import JobService
from app.jobs.sharing import JobSharing
from app.jobs.status import JobStatus
from workers.runtime import WorkerContext
from workers.work import Event


class Ending(Enum):
    EXITED = auto()
    CANCELLED = auto()
    PAUSED = auto()
    EXPIRED = auto()


WISHES = {JobStatus.CANCELLING: Ending.CANCELLED, JobStatus.PAUSING: Ending.PAUSED}


class Lease(ABC):
    """Every method works in the caller's transaction and raises LeaseLost once the worker has no part in the job."""

    is_leader: ClassVar[bool]

    def __init__(self, worker: WorkerContext, job_id: str, token: str) -> None:
        self.worker = worker
        self.job_id = job_id
        self.token = token
        self.may_claim = True
        """Whether it is to take more work on."""

    @abstractmethod
    def hold(self, session: Session) -> None:
        """Lock the job's row for the rest of the transaction: what is written then is written once."""

    @abstractmethod
    def renew(self, session: Session) -> None: ...

    @abstractmethod
    def wish(self, session: Session) -> Ending | None:
        """How somebody wants the attempt to end, if anybody does."""

    @abstractmethod
    def tell(self, session: Session, event: Event) -> None: ...


class Leading(Lease):
    is_leader = True

    def hold(self, session: Session) -> None:
        self._jobs(session).held(self.job_id, self.token)

    def renew(self, session: Session) -> None:
        if not self._jobs(session).heartbeat(self.job_id, self.token):
            raise LeaseLost(self.job_id)

    def wish(self, session: Session) -> Ending | None:
        return WISHES.get(self._jobs(session).watch(self.job_id, self.token))

    def tell(self, session: Session, event: Event) -> None:
        self._jobs(session).add_event(self.job_id, self.token, event["kind"], event["message"], event["data"])

    def _jobs(self, session: Session) -> JobService:
        return JobService(session, self.worker.settings.jobs)


class Helping(Lease):
    """What it holds are shards; see `workers.shares`."""

    is_leader = False

    def __init__(self, worker: WorkerContext, job_id: str, token: str, everyone: WorkerContext) -> None:
        """`everyone` sees the jobs of all tenants."""
        super().__init__(worker, job_id, token)
        self._everyone = everyone

    def hold(self, session: Session) -> None:
        JobSharing(session).hold(self.job_id)

    def renew(self, session: Session) -> None:
        """The leases of its shards are all it has."""

    def wish(self, session: Session) -> Ending | None:
        if not JobSharing(session).is_helped(self.job_id):
            return Ending.CANCELLED
        with open_session(self._everyone.factory, read_only=True) as others:
            self.may_claim = not JobSharing(others).is_any_waiting(served_queues(self.worker))
        return None

    def tell(self, session: Session, event: Event) -> None:
        """The leader speaks for all."""


def served_queues(worker: WorkerContext) -> list[QueueName]:
    return [QueueName(queue) for queue in worker.settings.jobs.served_queues]
