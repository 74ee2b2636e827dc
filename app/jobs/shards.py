"""Shards: pieces of one job's input, leased by as many workers as take part in the job.

Whoever leads the job holds shards under the job's fencing token, each helper under a token of its own. Every call that
hands shards out or takes results in expects the job's row to be locked, so that they follow one another.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, CursorResult, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.jobs.errors import LeaseLost
from app.jobs.models import JobShard
from app.jobs.repository import JobRepository, lease_end

NOBODY: dict[str, Any] = {"token": None, "worker_id": None, "lease_expires_at": None}


class Shard(NamedTuple):
    """`n` chunks from chunk number `first` on."""

    first: int
    n: int


class InputSize(NamedTuple):
    """The whole input of a job."""

    n_rows: int
    n_chunks: int


class ShardRepository:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._jobs = JobRepository(session)

    def claim(self, job_id: str, token: str, worker_id: str, n: int, lease_s: float) -> Shard | None:
        """A shard that somebody lost or gave back, else the next `n` chunks; None when there is nothing to do.

        Chunks beyond the end are handed out as long as nobody has found the end.
        """
        now = self._jobs.now()
        lease = {"token": token, "worker_id": worker_id, "lease_expires_at": lease_end(now, lease_s)}
        query = select(JobShard).where(JobShard.job_id == job_id, _is_free(now)).order_by(JobShard.first).limit(1)
        free = self._session.scalar(query.execution_options(populate_existing=True))
        if free is not None:
            self._update(JobShard.job_id == job_id, JobShard.first == free.first, **lease)
            return Shard(free.first, free.n)
        if self.size(job_id) is not None:
            return None
        reached = self._session.scalar(select(func.max(JobShard.first + JobShard.n)).where(JobShard.job_id == job_id))
        shard = Shard(reached or 0, n)
        self._session.add(JobShard(job_id=job_id, first=shard.first, n=n, **lease))
        self._session.flush()
        return shard

    def renew(self, job_id: str, token: str, lease_s: float) -> int:
        """Renew the leases held under the token; how many these are."""
        until = lease_end(self._jobs.now(), lease_s)
        return self._update(*_held(job_id, token), lease_expires_at=until)

    def require(self, job_id: str, token: str, n: int) -> None:
        """Raises LeaseLost unless the token holds `n` shards: somebody else works on the missing ones."""
        query = select(func.count()).select_from(JobShard).where(*_held(job_id, token))
        if self._session.scalar(query) != n:
            raise LeaseLost(job_id)

    def close(self, job_id: str, token: str, firsts: Sequence[int]) -> None:
        """These are done for good."""
        self._update(*_held(job_id, token), JobShard.first.in_(firsts), done_at=self._jobs.now(), **NOBODY)

    def set_size(self, job_id: str, size: InputSize) -> None:
        """Whoever read the input to its end says how much it is; what was handed out beyond shrinks to nothing."""
        beyond = JobShard.first + JobShard.n > size.n_chunks
        kept = case((JobShard.first >= size.n_chunks, 0), else_=size.n_chunks - JobShard.first)
        self._update(JobShard.job_id == job_id, beyond, n=kept)
        is_last = and_(JobShard.first <= size.n_chunks, JobShard.first + JobShard.n >= size.n_chunks)
        self._update(JobShard.job_id == job_id, is_last, input_rows=size.n_rows)

    def size(self, job_id: str) -> InputSize | None:
        """None before anybody has found the end."""
        query = select(JobShard.input_rows, JobShard.first + JobShard.n).where(
            JobShard.job_id == job_id, JobShard.input_rows.is_not(None)
        )
        found = self._session.execute(query.order_by(JobShard.first).limit(1)).one_or_none()
        return InputSize(found[0] or 0, found[1]) if found is not None else None

    def is_complete(self, job_id: str) -> bool:
        """Whether the end is known and every shard is done; what lies beyond the end is nothing to wait for."""
        is_open = (
            select(JobShard.first).where(JobShard.job_id == job_id, JobShard.done_at.is_(None), JobShard.n > 0).limit(1)
        )
        return self.size(job_id) is not None and self._session.scalar(is_open) is None

    def is_shared(self, job_id: str) -> bool:
        """Whether a worker that joins would find work: the leader has begun to hand it out, and some is left."""
        query = select(JobShard.first).where(JobShard.job_id == job_id)
        if self._session.scalar(query.limit(1)) is None:
            return False
        is_free = self._session.scalar(query.where(_is_free(self._jobs.now())).limit(1)) is not None
        return is_free or self.size(job_id) is None

    def workers(self, job_id: str) -> set[str]:
        """Those that hold shards of the job."""
        query = select(JobShard.worker_id).where(JobShard.job_id == job_id, JobShard.worker_id.is_not(None))
        return {worker for worker in self._session.scalars(query) if worker is not None}

    def free(self, job_id: str, token: str | None = None) -> None:
        """Give back what the token holds, or with None what anybody holds."""
        whose = JobShard.token.is_not(None) if token is None else JobShard.token == token
        self._update(JobShard.job_id == job_id, whose, **NOBODY)

    def free_worker(self, worker_id: str) -> None:
        """Give back what the worker holds of any job."""
        self._update(JobShard.worker_id == worker_id, **NOBODY)

    def shorten_leases(self, latest: datetime) -> None:
        """No lease lasts beyond `latest` any more."""
        self._update(JobShard.lease_expires_at > latest, lease_expires_at=latest)

    def remove_all(self, job_ids: Collection[str]) -> None:
        statement = delete(JobShard).where(JobShard.job_id.in_(job_ids))
        self._session.execute(statement, execution_options={"synchronize_session": False})

    def _update(self, *conditions: ColumnElement[bool], **values: Any) -> int:
        statement = update(JobShard).where(*conditions).values(**values)
        result = self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast("CursorResult[Any]", result).rowcount


def _held(job_id: str, token: str) -> tuple[ColumnElement[bool], ...]:
    return JobShard.job_id == job_id, JobShard.token == token, JobShard.done_at.is_(None)


def _is_free(now: datetime) -> ColumnElement[bool]:
    return and_(JobShard.done_at.is_(None), or_(JobShard.token.is_(None), JobShard.lease_expires_at < now))
