"""Tables of jobs. The row owns the job; the broker only wakes a worker."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.orm import Base, JsonObject, utc_now
from app.core.tenancy import Owned


class Job(Owned, Base):
    """One piece of long work.

    `fencing_token` is a new random string at every claim: each write of a worker is conditional on it, so a worker
    that lost its lease cannot write any more. `enqueued_at` is null until the broker has the message (outbox).
    """

    __tablename__ = "job"
    __table_args__ = (
        Index(None, "status", "lease_expires_at"),
        UniqueConstraint("tenant", "kind", "idempotency_key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # a JobKind
    status: Mapped[str]
    status_reason: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None]
    spec: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    result: Mapped[dict[str, Any] | None] = mapped_column(JsonObject)
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    fencing_token: Mapped[str | None]
    worker_id: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    enqueued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobShard(Owned, Base):
    """Chunks `first` to `first + n - 1` of a job's input, while the job is open; `token` fences as the job's does.

    `input_rows`, the rows of the whole input, is known where the input ends in this shard.
    """

    __tablename__ = "job_shard"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    first: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    input_rows: Mapped[int | None]
    token: Mapped[str | None]
    worker_id: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]


class JobEvent(Owned, Base):
    """What happened in a job, in order; `seq` counts from 1 within the job."""

    __tablename__ = "job_event"
    __table_args__ = (UniqueConstraint("job_id", "seq"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    seq: Mapped[int]
    level: Mapped[str]  # "info" | "warning" | "error"
    kind: Mapped[str]  # "status" | "epoch" | "progress" | "message"
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
