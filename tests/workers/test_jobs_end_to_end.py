"""Whole jobs through a real broker, a real Celery worker and a real training process."""

import os
import resource
import signal
import time

import psutil
import pytest
import redis

from app.core.errors import ModelNotFound
from app.jobs.reaper import Reaper, jobs_folder
from app.jobs.status import JobStatus
from app.learning.methods import Method
from tests.workers.conftest import Installation, training_processes, wait_until

Served = tuple[Installation, psutil.Process]

FAST = {"max_epochs": 4, "batch_size": 8}
SLOW = {"max_epochs": 5000, "patience": 5000, "batch_size": 2}
SEVERAL_SECONDS = {"max_epochs": 40, "batch_size": 4}


def test_a_job_makes_one_model_version(any_installation: Installation) -> None:
    here = any_installation
    with here.worker():
        first = here.wait_for_end(here.submit(hyperparameters=FAST, seed=3))
        assert first.status == JobStatus.SUCCEEDED, first.status_reason
        second = here.wait_for_end(
            here.submit(model_name="tuned", method=Method.FINE_TUNE, base_model="mine/1", hyperparameters=FAST)
        )
    assert second.status == JobStatus.SUCCEEDED, second.status_reason
    assert (first.attempts, first.error, first.base_model) == (1, None, None)
    assert first.result is not None and (first.result.model, first.result.version) == ("mine", 1)
    assert first.result.metrics.test is not None and first.result.metrics.test.n >= 1
    report = here.report(first.id)
    assert len(report.test_rows) == first.result.metrics.test.n
    errors = [abs(row.prediction - row.label) for row in report.test_rows]
    assert sum(errors) / len(errors) == pytest.approx(first.result.metrics.test.mae, rel=1e-4)
    assert [row.label for row in report.test_rows] == sorted(row.label for row in report.test_rows)
    assert first.progress is not None and (first.progress.epoch, first.progress.unit) == (4, "GPa")
    (version,) = here.versions("mine")
    assert version.job_id == first.id and version.dataset_id == first.dataset_id
    known = here.artifact(version)
    assert known.manifest.trust is not None and known.trust is not None
    (tuned,) = here.versions("tuned")
    assert tuned.parent_id == version.id
    assert second.base_model is not None and second.base_model.sha256 == version.weights_sha256
    told = [(e.seq, e.kind, e.data.get("status")) for e in here.events(first.id)]
    assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1))
    assert [status for _, kind, status in told if kind == "status"] == ["validating", "queued", "running", "succeeded"]
    assert [kind for _, kind, _ in told].count("epoch") == 4
    assert not (jobs_folder(here.settings) / first.id).exists()


def test_a_baseline_tells_of_its_search_and_can_be_cancelled(served: Served) -> None:
    installation, _ = served
    job = installation.wait_for_end(installation.submit(model_name="linear", method=Method.LASSO))
    assert job.status == JobStatus.SUCCEEDED, job.status_reason
    assert job.progress is None and job.search is not None and job.search.total >= 1
    (version,) = installation.versions("linear")
    assert version.manifest["input_kind"] == "composition"
    assert "search" in [event.kind for event in installation.events(job.id)]
    long = installation.submit(model_name="long", method=Method.AUTOML_ATTRIBUTES, hyperparameters={"n_trials": 2000})
    wait_until(lambda: installation.job(long).search, "the search")
    installation.cancel(long)
    assert installation.wait_for_end(long).status == JobStatus.CANCELLED
    with pytest.raises(ModelNotFound, match="long"):
        installation.versions("long")


def test_a_training_process_that_is_killed_or_stopped_is_started_again(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="killed-once", hyperparameters=SEVERAL_SECONDS)
    installation.wait_for_epoch(job_id)
    (training,) = training_processes(worker)
    training.kill()
    installation.wait_for_epoch(job_id, attempt=2)
    # As when a whole machine is shut down: everything gets SIGTERM at once, in any order.
    wait_until(lambda: training_processes(worker), "the training process")[0].terminate()
    job = installation.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 3), job.status_reason
    assert len(installation.versions("killed-once")) == 1
    told = [event.message for event in installation.events(job_id)]
    assert any("signal 9" in message for message in told)
    assert any("told to stop from outside" in message for message in told)


def test_a_training_process_that_is_killed_every_time_fails_the_job(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="killed-always", hyperparameters=SLOW)
    for attempt in range(1, 4):
        wait_until(lambda: installation.job(job_id).attempts == attempt, f"attempt {attempt}")  # noqa: B023
        wait_until(lambda: training_processes(worker), "the training process")[0].kill()
    job = installation.wait_for_end(job_id)
    assert job.error is not None and (job.status, job.error.code) == (JobStatus.FAILED, "worker_lost")
    assert "memory" in job.error.detail
    wait_until(lambda: not (jobs_folder(installation.settings) / job_id).exists(), "the folder to be removed", 5)


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.proof)], indirect=True)
def test_the_job_of_a_killed_worker_goes_on_with_the_next(any_installation: Installation) -> None:
    here = any_installation
    with here.worker() as worker:
        job_id = here.submit(hyperparameters=SEVERAL_SECONDS)
        here.wait_for_epoch(job_id)
        (training,) = training_processes(worker)
        pool = worker.children()
        worker.kill()
        for process in pool:
            process.kill()
        # The training process may not outlive its supervisor.
        wait_until(lambda: not training.is_running() or training.status() == "zombie", "the training to die", 5)
    with here.worker():
        job = here.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2), job.status_reason
    assert len(here.versions("mine")) == 1


def test_a_killed_pool_process_costs_an_attempt_not_the_job(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="pool-killed", hyperparameters=SEVERAL_SECONDS)
    installation.wait_for_epoch(job_id)
    (training,) = training_processes(worker)
    os.kill(training.ppid(), signal.SIGKILL)
    job = installation.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2), job.status_reason
    assert len(installation.versions("pool-killed")) == 1


def test_cancelling_stops_a_training_that_hangs(served: Served) -> None:
    installation, worker = served
    job_id = installation.submit(model_name="hanging", hyperparameters=SLOW)
    installation.wait_for_epoch(job_id)
    (training,) = training_processes(worker)
    training.suspend()
    started = time.monotonic()
    installation.cancel(job_id)
    job = installation.wait_for_end(job_id)
    assert time.monotonic() - started < 5
    assert job.status == JobStatus.CANCELLED
    wait_until(lambda: not training.is_running(), "the training to die", 5)
    # The worker is free for the next job.
    following = installation.wait_for_end(installation.submit(model_name="hanging", hyperparameters=FAST))
    assert following.status == JobStatus.SUCCEEDED
    assert [v.job_id for v in installation.versions("hanging")] == [following.id]
    wait_until(lambda: not (jobs_folder(installation.settings) / job_id).exists(), "the folder to be removed", 5)


def test_a_worker_told_to_stop_gives_its_job_back_at_once(installation: Installation) -> None:
    with installation.worker() as worker:
        job_id = installation.submit(hyperparameters=SLOW)
        installation.wait_for_epoch(job_id)
        (training,) = training_processes(worker)
        started = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        wait_until(lambda: installation.job(job_id).status == JobStatus.QUEUED, "the job to be queued again", 10)
        wait_until(lambda: not training.is_running(), "the training to stop", 10)
        wait_until(lambda: not worker.is_running() or worker.status() == "zombie", "the worker to stop", 10)
        # Long before the 45 s that Celery would wait for a task.
        assert time.monotonic() - started < 20
    assert installation.job(job_id).attempts == 0
    installation.cancel(job_id)
    assert installation.job(job_id).status == JobStatus.CANCELLED


def test_a_paused_job_goes_on_from_its_checkpoint(installation: Installation) -> None:
    with installation.worker() as worker:
        job_id = installation.submit(hyperparameters=SEVERAL_SECONDS)
        reached = installation.wait_for_epoch(job_id).progress
        installation.pause(job_id)
        wait_until(lambda: installation.job(job_id).status == JobStatus.PAUSED, "the job to be paused", 10)
        wait_until(lambda: not training_processes(worker), "the training to stop", 5)
        assert (jobs_folder(installation.settings) / job_id).exists()
        paused = installation.job(job_id)
        assert (paused.attempts, paused.result) == (0, None)
        installation.resume(job_id)
        job = installation.wait_for_end(job_id)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1), job.status_reason
    epochs = [event.data["epoch"] for event in installation.events(job_id) if event.kind == "epoch"]
    assert reached is not None and epochs.count(1) == 1 and epochs[-1] > reached.epoch


def test_a_full_disk_ends_the_job_with_a_reason(installation: Installation) -> None:
    with installation.worker() as worker:
        job_id = installation.submit(hyperparameters=SEVERAL_SECONDS)
        installation.wait_for_epoch(job_id)
        # As a full disk, but for this process alone: no file may have a byte.
        training_processes(worker)[0].rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        job = installation.wait_for_end(job_id)
        assert job.error is not None and (job.status, job.error.code) == (JobStatus.FAILED, "disk_full")
        again = installation.wait_for_end(installation.retry(job_id))
    assert (again.status, again.attempts) == (JobStatus.SUCCEEDED, 1), again.status_reason
    assert [version.job_id for version in installation.versions("mine")] == [again.id]
    wait_until(lambda: not any(jobs_folder(installation.settings).iterdir()), "the folders to be removed", 5)


def test_messages_too_many_make_no_version_too_many(installation: Installation) -> None:
    job_id = installation.submit(hyperparameters=FAST)
    for _ in range(3):
        installation.queue.send(job_id)
    with installation.worker(), installation.worker():
        job = installation.wait_for_end(job_id)
        wait_until(installation.queue.is_empty, "the messages to be used up")
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
    assert len(installation.versions("mine")) == 1


def test_a_message_that_was_never_sent_or_lost_is_sent_by_the_reaper(
    installation: Installation, broker_url: str
) -> None:
    unsent = installation.submit(send=False, hyperparameters=FAST)
    lost = installation.submit(model_name="lost", hyperparameters=SLOW)
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    with installation.worker():
        assert installation.wait_for_end(unsent).status == JobStatus.SUCCEEDED
        installation.wait_for_epoch(lost)


def test_a_training_that_diverges_says_so(served: Served) -> None:
    installation, _ = served
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "schedule": "constant", "loss": "mse", "gradient_clip": 0.0}
    job = installation.wait_for_end(installation.submit(hyperparameters={**FAST, "max_epochs": 50, **wild}))
    assert job.error is not None and (job.status, job.error.code) == (JobStatus.FAILED, "training_diverged")
    assert "learning_rate" in job.error.detail
    assert installation.events(job.id)[-1].data == {"status": "failed", "error_code": "training_diverged"}


def test_a_job_that_runs_too_long_expires(installation: Installation) -> None:
    settings = installation.settings
    jobs = settings.jobs.model_copy(update={"max_run_s": 2.0})
    installation.settings = settings.model_copy(update={"jobs": jobs})
    with installation.worker():
        job = installation.wait_for_end(installation.submit(hyperparameters=SLOW))
    assert job.status == JobStatus.EXPIRED
    assert "longer than 2 s" in (job.status_reason or "")


def test_reaper_removes_folders_of_ended_jobs_only(installation: Installation) -> None:
    ended = installation.submit(send=False)
    waiting = installation.submit(send=False, model_name="other")
    installation.cancel(ended)
    root = jobs_folder(installation.settings)
    for name in (ended, waiting, "not-a-job"):
        (root / name).mkdir(parents=True)
    Reaper(installation.sessions, installation.settings, installation.queue).run_once()
    assert {path.name for path in root.iterdir()} == {waiting, "not-a-job"}


def test_a_data_set_that_is_gone_fails_the_job_with_a_code(served: Served) -> None:
    installation, _ = served
    known = set(installation.store.list())
    dataset_id = installation.dataset(offset=1.0)
    for path in set(installation.store.list()) - known:
        installation.store.delete(path)
    job = installation.wait_for_end(installation.submit(dataset_id=dataset_id, hyperparameters=FAST))
    assert job.error is not None and job.error.code == "artifact_corrupt"


def test_a_job_cancelled_before_its_message_arrives_stays_cancelled(served: Served) -> None:
    installation, _ = served
    job_id = installation.submit(send=False, hyperparameters=FAST)
    installation.cancel(job_id)
    installation.queue.send(job_id)
    wait_until(installation.queue.is_empty, "the message to be used up")
    assert (installation.job(job_id).status, installation.job(job_id).attempts) == (JobStatus.CANCELLED, 0)
