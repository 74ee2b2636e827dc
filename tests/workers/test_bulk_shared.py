"""One bulk prediction on two workers: each input is answered once, whichever of them is lost, and when."""

import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import redis

from app.bulk import service as service_module
from app.core.db import open_session
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from app.jobs.shards import ShardRepository
from app.jobs.status import JobStatus
from tests.tiny_models import tiny_models
from tests.workers.conftest import Installation, processes_below, wait_until
from tests.workers.test_bulk_end_to_end import Bulk

__all__ = ["tiny_models"]

N_ROWS = 6_000
CHUNK = 50
RUNNER = "workers.bulk_process"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "CHUNK_ROWS", CHUNK)


class TwoWorkers:
    def __init__(self, here: Installation, bulk: Bulk, workers: list[psutil.Process]) -> None:
        self.here, self.bulk, self.workers = here, bulk, workers

    def shared_job(self) -> str:
        """A job that both work on."""
        job_id = self.bulk.submit(N_ROWS)
        self.wait_until_shared(job_id)
        return job_id

    def wait_until_shared(self, job_id: str) -> None:
        wait_until(lambda: len(self._holders(job_id)) == 2, "both workers to hold shards")
        self.bulk.wait_for(job_id, n_done=self.bulk.service.get(job_id).progress.done + 10 * CHUNK)

    def leader(self, job_id: str) -> psutil.Process:
        return self._process(self.job(job_id).worker_id or "")

    def helper(self, job_id: str) -> psutil.Process:
        return next(worker for worker in self.workers if worker != self.leader(job_id))

    def job(self, job_id: str) -> Job:
        with open_session(self.here.sessions, read_only=True) as session:
            job = JobRepository(session).get(job_id)
            assert job is not None
            return job

    def check(self, job_id: str, attempts: int) -> None:
        """It succeeded, and its results hold each input once, in order."""
        job = self.bulk.wait_for_end(job_id)
        assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, attempts), job.status_reason
        assert (job.progress.done, job.progress.failed) == (N_ROWS, N_ROWS // 10)
        assert [line["row"] for line in self.bulk.lines(job_id)] == list(range(1, N_ROWS + 1))
        joined = [event for event in self.here.events(job_id) if "worker" in event.data and event.kind == "message"]
        assert joined
        with open_session(self.here.sessions, read_only=True) as session:
            assert not ShardRepository(session).workers(job_id)

    def _holders(self, job_id: str) -> set[str]:
        with open_session(self.here.sessions, read_only=True) as session:
            return ShardRepository(session).workers(job_id)

    def _process(self, worker_id: str) -> psutil.Process:
        return next(worker for worker in self.workers if f":{worker.pid}:" in worker_id)


@contextmanager
def two_workers(here: Installation, tiny_models: Path) -> Iterator[TwoWorkers]:
    with here.worker() as one, here.worker() as other:
        yield TwoWorkers(here, Bulk(here, tiny_models), [one, other])


def _each(worker: psutil.Process, action: Callable[[psutil.Process], None]) -> None:
    """Of a worker and all its descendants, the worker first."""
    for process in [worker, *worker.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            action(process)


def _halt(worker: psutil.Process, here: Installation) -> None:
    """With all its descendants, at a moment when none of them is writing: SQLite's lock would keep out everybody."""
    path = here.engine.url.database
    assert path is not None

    def is_done() -> bool:
        _each(worker, lambda process: process.send_signal(signal.SIGSTOP))
        with closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                _each(worker, lambda process: process.send_signal(signal.SIGCONT))
                return False
        return True

    wait_until(is_done, "a moment without writing")


def test_a_pause_stops_both_and_a_killed_leader_is_followed_by_the_helper(
    cluster: Installation, tiny_models: Path
) -> None:
    with two_workers(cluster, tiny_models) as both:
        job_id = both.shared_job()
        both.bulk.service.pause(job_id)
        wait_until(lambda: both.job(job_id).status == JobStatus.PAUSED, "the job to pause")
        wait_until(lambda: not any(processes_below(worker, RUNNER) for worker in both.workers), "processes to end", 5)
        assert both.bulk.service.get(job_id).progress.done < N_ROWS
        both.bulk.resume(job_id)
        both.wait_until_shared(job_id)
        _each(both.leader(job_id), psutil.Process.kill)
        both.check(job_id, attempts=2)


def test_a_helper_that_is_silent_beyond_its_lease_loses_its_shards_and_writes_nothing_more(
    installation: Installation, tiny_models: Path
) -> None:
    with two_workers(installation, tiny_models) as both:
        job_id = both.shared_job()
        helper = both.helper(job_id)
        # The broker forgets all messages too: what is shared is known to SQL alone.
        with redis.Redis.from_url(installation.settings.resolved_broker_url) as broker:
            broker.flushall()
        _halt(helper, installation)
        done = both.bulk.service.get(job_id).progress.done
        wait_until(lambda: both.bulk.service.get(job_id).progress.done >= done + CHUNK, "the leader to go on")
        both.check(job_id, attempts=1)
        _each(helper, lambda process: process.send_signal(signal.SIGCONT))
        wait_until(lambda: not processes_below(helper, RUNNER), "the helper to see that it is late")
        both.check(job_id, attempts=1)
