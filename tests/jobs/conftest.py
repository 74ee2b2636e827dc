from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.orm import utc_now
from app.core.settings import JobSettings
from app.jobs.models import Job
from app.jobs.service import JobService
from tests.broker import running_broker


class JobTable:
    """Jobs of one database, each call in a transaction of its own, as API and workers use them."""

    def __init__(self, sessions: sessionmaker[Session], settings: JobSettings) -> None:
        self.sessions = sessions
        self.settings = settings

    @contextmanager
    def service(self) -> Iterator[JobService]:
        with open_session(self.sessions) as session:
            yield JobService(session, self.settings)

    def create(self, key: str | None = None) -> str:
        with self.service() as jobs:
            return jobs.create("fine_tuning", {"x": 1}, key, "0" * 64 if key else None).id

    def claim(self, job_id: str, worker: str = "w1") -> str | None:
        with self.service() as jobs:
            return jobs.claim(job_id, worker)

    def claimed(self) -> tuple[str, str]:
        job_id = self.create()
        token = self.claim(job_id)
        assert token is not None
        return job_id, token

    def row(self, job_id: str) -> Job:
        with self.service() as jobs:
            return jobs.get(job_id)

    def expire_lease(self, job_id: str) -> None:
        with open_session(self.sessions) as session:
            past = utc_now() - timedelta(seconds=5)
            session.execute(update(Job).where(Job.id == job_id).values(lease_expires_at=past))


@pytest.fixture
def table(sessions: sessionmaker[Session]) -> JobTable:
    return JobTable(sessions, JobSettings(lease_s=60, heartbeat_s=15, max_attempts=2))


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    with running_broker() as url:
        yield url


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """URL of an empty broker."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushall()
    return broker_server
