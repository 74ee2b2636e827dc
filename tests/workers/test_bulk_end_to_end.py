"""Bulk predictions through a real broker, a real Celery worker and its processes."""

import io
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest

from app.bulk import service as service_module
from app.bulk.schemas import BulkPredictionRead, ModelChoice
from app.bulk.service import BulkService
from app.core.db import open_session
from app.jobs.outbox import dispatch
from app.jobs.reaper import jobs_folder
from app.jobs.status import JobStatus
from app.learning.predictor import Predictor
from app.predictions.directory import ModelDirectory
from app.registry.service import RegistryService
from tests.bulk.tables import as_csv, rows
from tests.tiny_models import ENERGY_MODEL, salts, tiny_models
from tests.workers.conftest import Installation, processes_below, wait_until

__all__ = ["tiny_models"]

N_ROWS = 2_000
CHUNK = 60
RUNNER, POOL = "workers.bulk_process", "multiprocessing.spawn"


class Bulk:
    """Bulk predictions of an installation, as its API makes them."""

    def __init__(self, here: Installation, tiny_models: Path) -> None:
        with open_session(here.sessions) as session:
            RegistryService(session, here.store).register_shipped(tiny_models)
        self.here = here
        self.service = BulkService(here.sessions, here.store, here.settings, ModelDirectory(here.sessions, here.store))

    def submit(self, n_rows: int) -> str:
        file = io.BytesIO(as_csv(rows(n_rows)))
        job_id = self.service.create_from_file("rows.csv", file, ModelChoice(models=[ENERGY_MODEL]), None).id
        assert dispatch(self.here.sessions, self.here.settings.jobs, self.here.queue, [job_id]) == 1
        return job_id

    def resume(self, job_id: str) -> None:
        self.service.resume(job_id)
        assert dispatch(self.here.sessions, self.here.settings.jobs, self.here.queue, [job_id]) == 1

    def wait_for(self, job_id: str, *, n_done: int) -> BulkPredictionRead:
        def probe() -> BulkPredictionRead | None:
            job = self.service.get(job_id)
            assert not job.status.is_terminal, (job.status, job.status_reason)
            return job if job.progress.done >= n_done else None

        return wait_until(probe, f"{n_done} inputs")

    def wait_for_end(self, job_id: str) -> BulkPredictionRead:
        def probe() -> BulkPredictionRead | None:
            job = self.service.get(job_id)
            return job if job.status.is_terminal else None

        return wait_until(probe, "the job's end")

    def lines(self, job_id: str, *, is_partial: bool = False) -> list[dict[str, object]]:
        parts = list(self.service.results(job_id, is_partial=is_partial))
        lines: list[dict[str, object]] = pa.concat_tables(parts).to_pylist()
        return lines

    def predictor(self) -> Predictor:
        with open_session(self.here.sessions, read_only=True) as session:
            registry = RegistryService(session, self.here.store)
            return Predictor.from_bytes(*registry.files.load(registry.resolve(ENERGY_MODEL)))

    def inputs_left(self) -> list[str]:
        return [path for path in self.here.store.list() if path.startswith("bulk/") and path.endswith("/input")]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "CHUNK_ROWS", CHUNK)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_killed_worker_costs_an_attempt_and_each_input_is_answered_once(
    any_installation: Installation, tiny_models: Path
) -> None:
    bulk = Bulk(any_installation, tiny_models)
    with any_installation.worker() as worker:
        job_id = bulk.submit(N_ROWS)
        bulk.wait_for(job_id, n_done=3 * CHUNK)
        left = processes_below(worker, RUNNER) + processes_below(worker, POOL)
        assert len(left) >= 2
        pool = worker.children()
        worker.kill()
        for process in pool:
            process.kill()
        wait_until(lambda: not any(map(_is_alive, left)), "the processes to die with their worker", 5)
    kept = bulk.service.get(job_id).progress.done
    assert 3 * CHUNK <= kept < N_ROWS
    with any_installation.worker():
        job = bulk.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2), job.status_reason
    assert (job.progress.done, job.progress.failed, job.progress.total) == (N_ROWS, N_ROWS // 10, N_ROWS)
    lines = bulk.lines(job_id)
    assert [line["row"] for line in lines] == list(range(1, N_ROWS + 1))
    values = bulk.predictor().predict(salts())
    for line in lines:
        place = int(str(line["row"])) - 1
        assert line["input_id"] == f"salt-{place}"
        if place % 10 != 3:
            np.testing.assert_allclose(float(str(line["value"])), float(str(values[place % len(values)])), atol=1e-5)
    n_bad = N_ROWS // 10
    assert Counter(line["error_code"] for line in lines) == {None: N_ROWS - n_bad, "unparsable_structure": n_bad}
    told = [event.kind for event in any_installation.events(job_id)]
    # The next worker takes it back itself, unless a reaper comes first.
    assert told.count("counted") >= 1 and told.count("status") in (5, 6)
    assert not (jobs_folder(any_installation.settings) / job_id).exists() and bulk.inputs_left() == []


def test_a_lost_process_costs_nothing_and_cancelling_keeps_what_is_done(
    served: tuple[Installation, psutil.Process], tiny_models: Path
) -> None:
    installation, worker = served
    bulk = Bulk(installation, tiny_models)
    job_id = bulk.submit(100_000)
    bulk.wait_for(job_id, n_done=CHUNK)
    processes_below(worker, POOL)[0].kill()
    bulk.wait_for(job_id, n_done=bulk.service.get(job_id).progress.done + 10 * CHUNK)
    runners = processes_below(worker, RUNNER) + processes_below(worker, POOL)
    started = time.monotonic()
    bulk.service.cancel(job_id)
    job = bulk.wait_for_end(job_id)
    assert time.monotonic() - started < 5
    assert (job.status, job.attempts) == (JobStatus.CANCELLED, 1)
    wait_until(lambda: not any(map(_is_alive, runners)), "the processes to end", 5)
    lines = bulk.lines(job_id, is_partial=True)
    assert len(lines) == len({line["row"] for line in lines}) == job.progress.done >= 11 * CHUNK
    assert len(bulk.inputs_left()) == 1  # it may be tried again


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
