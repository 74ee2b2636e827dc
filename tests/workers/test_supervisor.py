"""Attempts that never come to a process of their own."""

import errno
import os
from collections.abc import Callable

import pytest

from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT
from app.jobs.kinds import JobKind
from app.jobs.reaper import Reaper, jobs_folder
from app.jobs.status import JobStatus
from tests.workers.conftest import Installation
from workers import supervisor
from workers.runtime import WorkerContext
from workers.supervisor import run_attempt
from workers.training import TrainingWork


def attempt_that_raises(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> tuple[str, Callable[[], None]]:
    """A job, and what attempts it once."""

    class BrokenWork(TrainingWork):
        def prepare(self, keep_lease: Callable[[], None]) -> None:
            raise error

    monkeypatch.setitem(supervisor.WORKS, JobKind.FINE_TUNING, BrokenWork)
    factory = of_tenant(installation.sessions, EVERY_TENANT)
    worker = WorkerContext(
        pid=os.getpid(), worker_id="w1", settings=installation.settings, engine=installation.engine, factory=factory,
        store=installation.store, queue=installation.queue,
    )  # fmt: skip
    job_id = installation.submit(send=False)
    return job_id, lambda: run_attempt(worker, job_id)


def test_what_is_away_for_a_while_does_not_use_up_the_attempts_at_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, attempt = attempt_that_raises(installation, monkeypatch, ConnectionError("the store is away"))
    for number in (1, 2):
        attempt()
        job = installation.job(job_id)
        assert (job.status, job.attempts) == (JobStatus.QUEUED, number)
        assert installation.queue.is_empty()
    Reaper(installation.sessions, installation.settings, installation.queue).run_once()
    assert sum(installation.queue.n_waiting().values()) == 1
    attempt()
    job = installation.job(job_id)
    assert job.error is not None and (job.status, job.error.code) == (JobStatus.FAILED, "worker_lost")
    assert "ConnectionError" in job.error.detail


def test_a_worker_whose_disk_is_full_fails_the_job_with_a_reason(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    job_id, attempt = attempt_that_raises(installation, monkeypatch, error)
    attempt()
    job = installation.job(job_id)
    assert job.error is not None and (job.status, job.error.code) == (JobStatus.FAILED, "disk_full")
    assert not (jobs_folder(installation.settings) / job_id).exists()
