"""What SQL and the broker know of all jobs, as Prometheus metrics: the same from every process that is asked."""

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, Engine, func, select, union
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import READ_ONLY_OPTION
from app.core.errors import BrokerUnavailable
from app.core.logging import get_logger
from app.core.orm import utc_now
from app.jobs.errors import JobErrorCode
from app.jobs.kinds import JobKind
from app.jobs.models import Job, JobShard
from app.jobs.queue import JobQueue
from app.jobs.status import HELD, JobStatus

FRESH_S = 5.0
"""Scrapes within this time are answered from memory."""

log = get_logger(__name__)


class JobMetrics:
    """A collector for a registry; thread-safe. A database or broker that is away is a metric, not an error."""

    def __init__(self, engine: Engine, queue: JobQueue, fresh_s: float = FRESH_S) -> None:
        self._engine = engine
        self._queue = queue
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._until = 0.0
        self._found: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = [*self._of_database(), *self._of_broker()]
                self._until = time.monotonic() + self._fresh_s
            return self._found

    def describe(self) -> Iterable[Metric]:
        """Nothing: else the registry would ask the database when it is told of this collector."""
        return []

    def _of_database(self) -> list[Metric]:
        is_up, found = 1, []
        try:
            with self._engine.connect().execution_options(**{READ_ONLY_OPTION: True}) as connection:
                found = list(_jobs(connection))
        except SQLAlchemyError as error:
            log.warning("no metrics of jobs", reason=str(error))
            is_up = 0
        return [GaugeMetricFamily("xtalforge_database_up", "Whether the database answers.", value=is_up), *found]

    def _of_broker(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("xtalforge_broker_up", "Whether the broker answers.")
        waiting = GaugeMetricFamily("xtalforge_broker_messages", "Messages that wait for a worker.", labels=["queue"])
        try:
            for queue, n_messages in self._queue.n_waiting().items():
                waiting.add_metric([queue], n_messages)
            up.add_metric([], 1)
        except BrokerUnavailable:
            up.add_metric([], 0)
        yield up
        yield waiting


def _jobs(connection: Connection) -> Iterator[Metric]:
    # By the table, not by the mapped class: what an administrator watches is not limited to one tenant.
    job, now = Job.__table__.c, utc_now()
    states = GaugeMetricFamily("xtalforge_jobs", "Jobs by kind and status.", labels=["kind", "status"])
    counted = connection.execute(select(job.kind, job.status, func.count()).group_by(job.kind, job.status))
    counts = {(kind, status): n for kind, status, n in counted}
    for kind in dict.fromkeys([*JobKind, *(kind for kind, _ in counts)]):
        for status in JobStatus:
            states.add_metric([kind, status], counts.get((kind, status), 0))
    yield states
    oldest = connection.scalar(select(func.min(job.created_at)).where(job.status == JobStatus.QUEUED))
    yield _seconds("xtalforge_oldest_queued_job_seconds", "How long the oldest queued job has waited.", oldest, now)
    held = job.status.in_(HELD)
    expired = connection.scalar(select(func.count()).where(held, job.lease_expires_at < now))
    yield GaugeMetricFamily(
        "xtalforge_jobs_with_expired_lease", "Jobs whose worker is silent and that nobody has taken back.", expired
    )
    shard = JobShard.__table__.c
    at_work = union(
        select(job.worker_id).where(held, job.lease_expires_at >= now),
        select(shard.worker_id).where(shard.worker_id.is_not(None), shard.lease_expires_at >= now),
    ).subquery()
    workers = connection.scalar(select(func.count()).select_from(at_work))
    yield GaugeMetricFamily("xtalforge_workers_at_work", "Workers that hold a job or help with one.", workers)
    repeated = connection.scalar(select(func.sum(job.attempts - 1)).where(job.attempts > 1))
    lost = connection.scalar(select(func.count()).where(job.error_code == JobErrorCode.WORKER_LOST))
    yield GaugeMetricFamily(
        "xtalforge_job_attempts_lost",
        "Attempts of all jobs that ended without an outcome.",
        (repeated or 0) + (lost or 0),
    )


def _seconds(name: str, text: str, since: datetime | None, now: datetime) -> Metric:
    return GaugeMetricFamily(name, text, max(0.0, (now - since).total_seconds()) if since is not None else 0.0)
