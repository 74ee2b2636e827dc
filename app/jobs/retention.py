"""The end of what old jobs told on their way."""

from datetime import datetime

from sqlalchemy import Engine, Select, delete, exists, func, select
from sqlalchemy.orm import aliased

from app.jobs.models import Job, JobEvent

BATCH_ROWS = 5_000
"""Rows of one transaction."""

_KEPT = "status"
"""Kind of the events that tell what became of a job."""


def prune_events(engine: Engine, before: datetime, *, dry_run: bool = False) -> int:
    """Remove the epochs, progress and messages of jobs that ended before then; how many rows.

    Changes of state stay, and the newest event of each kind, which jobs are listed with. Raises SQLAlchemyError; what a
    round of rows has removed by then stays removed.
    """
    with engine.connect() as connection:
        n_old: int = connection.scalar(select(func.count()).select_from(_removable(before).subquery())) or 0
    if dry_run:
        return n_old
    n_removed = 0
    while n_removed < n_old:
        with engine.begin() as connection:
            some = _removable(before).limit(BATCH_ROWS)
            n = connection.execute(delete(JobEvent).where(JobEvent.id.in_(some))).rowcount
        if not n:  # another round was faster
            break
        n_removed += n
    return n_removed


def _removable(before: datetime) -> Select[int]:
    later = aliased(JobEvent)
    follows = exists().where(later.job_id == JobEvent.job_id, later.kind == JobEvent.kind, later.seq > JobEvent.seq)
    has_ended = select(Job.id).where(Job.finished_at < before)
    return select(JobEvent.id).where(JobEvent.job_id.in_(has_ended), JobEvent.kind != _KEPT, follows)
