"""A tournament in a real worker: killed, started again, cancelled."""

import psutil
import pytest

from app.core.errors import ModelNotFound
from app.jobs.status import JobStatus
from app.learning.methods import Method
from tests.workers.conftest import Installation, training_processes, wait_until

Served = tuple[Installation, psutil.Process]
LITTLE_TIME = {"max_seconds": 3, "n_folds": 2}


def test_a_tournament_that_is_killed_is_played_again(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="killed", method=Method.AUTO, hyperparameters=LITTLE_TIME)
    wait_until(lambda: installation.job(job_id).search, "the tournament")
    training_processes(worker)[0].kill()
    job = installation.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2), job.status_reason
    (version,) = installation.versions("killed")
    assert (version.architecture, version.parent_id) == ("ensemble", None)
    search = version.manifest["training"]["search"]
    assert search["sources"] == [] and search["entrants"] and search["reason"]


def test_a_tournament_can_be_cancelled(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="cancelled", method=Method.AUTO)
    wait_until(lambda: installation.job(job_id).search, "the tournament")
    installation.cancel(job_id)
    assert installation.wait_for_end(job_id).status == JobStatus.CANCELLED
    wait_until(lambda: not training_processes(worker), "the process to end", 10)
    with pytest.raises(ModelNotFound):
        installation.versions("cancelled")
