from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.core.db import open_session
from app.core.errors import (
    IdempotencyConflict,
    JobNotCancellable,
    JobNotFound,
    JobNotPausable,
    JobNotResumable,
    JobNotRetryable,
)
from app.core.orm import utc_now
from app.jobs.errors import LeaseLost
from app.jobs.kinds import QueueName
from app.jobs.models import Job
from app.jobs.repository import JobRepository
from tests.jobs.conftest import JobTable


def events_of(table: JobTable, job_id: str) -> list[tuple[int, str]]:
    with open_session(table.sessions) as session:
        return [(e.seq, e.data.get("status", e.kind)) for e in JobRepository(session).events_after(job_id, 0, 1000)]


def test_the_life_of_a_job_is_told_by_its_events(table: JobTable) -> None:
    job_id, token = table.claimed()
    with table.service() as jobs:
        assert jobs.heartbeat(job_id, token)
        jobs.add_event(job_id, token, "epoch", "Epoch 1", {"epoch": 1})
    with table.service() as jobs:
        jobs.succeed(job_id, token, {"model": "m", "version": 1})
    assert events_of(table, job_id) == [
        (1, "validating"), (2, "queued"), (3, "running"), (4, "epoch"), (5, "succeeded")
    ]  # fmt: skip
    row = table.row(job_id)
    assert (row.status, row.attempts, row.result) == ("succeeded", 1, {"model": "m", "version": 1})
    assert row.fencing_token is None and row.lease_expires_at is None
    assert row.started_at is not None and row.finished_at is not None and row.started_at <= row.finished_at


def test_only_one_of_many_claimants_gets_the_job(table: JobTable) -> None:
    job_id = table.create()
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda n: table.claim(job_id, f"w{n}"), range(8)))
    assert len([token for token in tokens if token]) == 1
    assert table.row(job_id).attempts == 1


def test_concurrent_events_have_no_gaps_and_no_duplicates(table: JobTable) -> None:
    job_id, token = table.claimed()

    def add(n: int) -> None:
        with table.service() as jobs:
            jobs.add_event(job_id, token if n % 2 else None, "message", str(n), {})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    assert [seq for seq, _ in events_of(table, job_id)] == list(range(1, 44))


def test_a_worker_that_lost_its_lease_can_write_nothing(table: JobTable) -> None:
    job_id, stale = table.claimed()
    table.expire_lease(job_id)
    fresh = table.claim(job_id, "w2")
    assert fresh is not None and fresh != stale
    with table.service() as jobs:
        assert not jobs.heartbeat(job_id, stale)
    for write in (
        lambda jobs: jobs.add_event(job_id, stale, "epoch", "zombie", {}),
        lambda jobs: jobs.succeed(job_id, stale, {}),
        lambda jobs: jobs.fail(job_id, stale, "training_failed", "zombie"),
        lambda jobs: jobs.cancelled(job_id, stale),
        lambda jobs: jobs.expire(job_id, stale, "zombie"),
        lambda jobs: jobs.release(job_id, stale, "zombie"),
        lambda jobs: jobs.watch(job_id, stale),
    ):
        with pytest.raises(LeaseLost), table.service() as jobs:
            write(jobs)
    row = table.row(job_id)
    assert (row.status, row.fencing_token, row.attempts, row.worker_id) == ("running", fresh, 2, "w2")


def test_a_heartbeat_keeps_the_job(table: JobTable) -> None:
    job_id, token = table.claimed()
    table.expire_lease(job_id)
    with table.service() as jobs:
        assert jobs.heartbeat(job_id, token)
        assert jobs.reap() == []
    assert table.claim(job_id, "w2") is None


def test_reaper_queues_a_lost_job_and_fails_it_after_the_last_attempt(table: JobTable) -> None:
    job_id, _ = table.claimed()
    table.expire_lease(job_id)
    with table.service() as jobs:
        assert jobs.reap() == [job_id]
        assert jobs.pending_enqueue() == [job_id]
    assert table.claim(job_id) is not None
    table.expire_lease(job_id)
    assert table.claim(job_id) is None  # both attempts are used up
    with table.service() as jobs:
        assert jobs.reap() == []
    row = table.row(job_id)
    assert (row.status, row.error_code, row.attempts) == ("failed", "worker_lost", 2)
    assert "attempt 2 of 2" in (row.status_reason or "")


def test_reapers_may_run_at_the_same_time(table: JobTable) -> None:
    lost = [table.claimed()[0] for _ in range(5)]
    for job_id in lost:
        table.expire_lease(job_id)

    def reap(_: int) -> list[str]:
        with table.service() as jobs:
            return jobs.reap()

    with ThreadPoolExecutor(4) as pool:
        found = [job_id for ids in pool.map(reap, range(4)) for job_id in ids]
    assert sorted(found) == sorted(lost)


def test_outbox_sends_the_unsent_and_what_an_empty_broker_lost(table: JobTable) -> None:
    job_id = table.create()
    with table.service() as jobs:
        assert jobs.pending_enqueue() == [job_id]
        jobs.mark_enqueued(job_id)
        assert (
            jobs.pending_enqueue(empty_queues=[QueueName.TRAINING]) == []
        )  # its message may just be on the way to a worker
    with open_session(table.sessions) as session:
        session.execute(update(Job).values(enqueued_at=utc_now() - timedelta(hours=1)))
    with table.service() as jobs:
        assert jobs.pending_enqueue(empty_queues=[QueueName.BULK]) == []  # it waits behind other jobs
        assert jobs.pending_enqueue(empty_queues=[QueueName.TRAINING]) == [job_id]


def test_cancelling_what_waits_runs_and_has_ended(table: JobTable) -> None:
    waiting = table.create()
    running, token = table.claimed()
    with table.service() as jobs:
        assert jobs.request_cancel(waiting).status == "cancelled"
        assert jobs.request_cancel(running).status == "cancelling"
        assert jobs.request_cancel(running).status == "cancelling"
        assert jobs.heartbeat(running, token)
    assert table.claim(waiting) is None
    with pytest.raises(LeaseLost), table.service() as jobs:
        jobs.succeed(running, token, {})  # the cancellation came first
    with table.service() as jobs:
        jobs.fail(running, token, "training_failed", "while stopping")
    assert (table.row(running).status, table.row(running).error_code) == ("cancelled", None)
    with pytest.raises(JobNotCancellable, match="already ended as 'cancelled'"), table.service() as jobs:
        jobs.request_cancel(running)
    with pytest.raises(JobNotFound), table.service() as jobs:
        jobs.request_cancel("job_nope")


def test_a_job_whose_worker_died_while_cancelling_is_cancelled(table: JobTable) -> None:
    job_id, _ = table.claimed()
    with table.service() as jobs:
        jobs.request_cancel(job_id)
    table.expire_lease(job_id)
    with table.service() as jobs:
        assert jobs.reap() == []
    assert table.row(job_id).status == "cancelled"


def test_a_worker_that_stops_as_planned_costs_no_attempt(table: JobTable) -> None:
    job_id, token = table.claimed()
    with table.service() as jobs:
        assert jobs.release_worker("another") == []
        assert jobs.release_worker("w1") == [job_id]
    row = table.row(job_id)
    assert (row.status, row.attempts, row.enqueued_at) == ("queued", 0, None)
    with pytest.raises(LeaseLost), table.service() as jobs:
        jobs.watch(job_id, token)


def test_a_released_job_fails_after_its_last_attempt(table: JobTable) -> None:
    job_id = table.create()
    for expected in ("queued", "failed"):
        token = table.claim(job_id)
        assert token is not None
        with table.service() as jobs:
            assert jobs.release(job_id, token, "The training process was killed (signal 9).") == expected
    assert table.row(job_id).error_code == "worker_lost"


def test_the_same_key_and_request_is_the_same_job(table: JobTable) -> None:
    with table.service() as jobs:
        first = jobs.create("test", {}, "key", "a" * 64).id
    with table.service() as jobs:
        assert jobs.create("test", {}, "key", "a" * 64).id == first
        assert jobs.create("other", {}, "key", "b" * 64).id != first
    with pytest.raises(IdempotencyConflict, match="already used"), table.service() as jobs:
        jobs.create("test", {}, "key", "b" * 64)


def test_a_key_that_arrives_many_times_at_once_makes_one_job(table: JobTable) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: table.create("key"), range(8)))
    assert len(ids) == 1


def test_a_pause_keeps_what_waits_and_asks_what_runs(table: JobTable) -> None:
    waiting = table.create()
    running, token = table.claimed()
    with table.service() as jobs:
        assert jobs.request_pause(waiting).status == "paused"
        assert jobs.request_pause(running).status == "pausing"
        assert jobs.request_pause(running).status == "pausing"
        assert jobs.heartbeat(running, token)
    assert table.claim(waiting) is None
    with table.service() as jobs:
        assert jobs.paused(running, token) == "paused"
    row = table.row(running)
    assert (row.status, row.attempts, row.fencing_token) == ("paused", 0, None)
    with table.service() as jobs:
        assert jobs.pending_enqueue(empty_queues=[QueueName.TRAINING]) == []
        assert jobs.request_resume(running).status == "queued"
        assert jobs.pending_enqueue() == [running]
        assert jobs.request_cancel(waiting).status == "cancelled"
    assert table.claim(running) is not None
    with pytest.raises(JobNotPausable, match="'cancelled'"), table.service() as jobs:
        jobs.request_pause(waiting)
    with pytest.raises(JobNotResumable, match="'cancelled'"), table.service() as jobs:
        jobs.request_resume(waiting)


def test_a_pause_that_is_called_off_before_the_worker_stops(table: JobTable) -> None:
    job_id, token = table.claimed()
    with table.service() as jobs:
        jobs.request_pause(job_id)
        assert jobs.request_resume(job_id).status == "running"
        assert jobs.paused(job_id, token) == "queued"
    assert table.row(job_id).attempts == 0


def test_a_job_that_ends_before_it_pauses_has_ended(table: JobTable) -> None:
    done, token = table.claimed()
    stopped, other = table.claimed()
    with table.service() as jobs:
        jobs.request_pause(done)
        jobs.succeed(done, token, {})
        jobs.request_pause(stopped)
        assert jobs.request_cancel(stopped).status == "cancelling"
        jobs.cancelled(stopped, other)
    assert (table.row(done).status, table.row(stopped).status) == ("succeeded", "cancelled")


def test_a_worker_that_dies_while_pausing_leaves_a_paused_job_or_a_failed_one(table: JobTable) -> None:
    job_id, _ = table.claimed()
    for expected in ("paused", "failed"):
        with table.service() as jobs:
            jobs.request_pause(job_id)
        table.expire_lease(job_id)
        with table.service() as jobs:
            assert jobs.reap() == []
        assert table.row(job_id).status == expected
        if expected == "paused":
            with table.service() as jobs:
                jobs.request_resume(job_id)
            assert table.claim(job_id) is not None
    assert table.row(job_id).error_code == "worker_lost"


def test_a_retry_is_a_new_job_and_leaves_the_old_one(table: JobTable) -> None:
    job_id, token = table.claimed()
    with pytest.raises(JobNotRetryable, match="'running'"), table.service() as jobs:
        jobs.retry(job_id)
    with table.service() as jobs:
        jobs.fail(job_id, token, "training_diverged", "NaN")
    with table.service() as jobs:
        again = jobs.retry(job_id, "key").id
    with table.service() as jobs:
        assert jobs.retry(job_id, "key").id == again != job_id
    assert (table.row(job_id).status, table.row(again).status) == ("failed", "queued")
    assert table.row(again).spec == table.row(job_id).spec
    assert events_of(table, again) == [(1, "validating"), (2, "queued"), (3, "message")]
    done, token = table.claimed()
    with table.service() as jobs:
        jobs.succeed(done, token, {})
    with pytest.raises(JobNotRetryable, match="'succeeded'"), table.service() as jobs:
        jobs.retry(done)


def test_leases_from_before_a_clock_was_set_back_do_not_last(table: JobTable) -> None:
    alive, token = table.claimed()
    with open_session(table.sessions) as session:
        session.execute(update(Job).values(lease_expires_at=utc_now() + timedelta(hours=1)))
    with table.service() as jobs:
        assert jobs.reap() == []
    until = table.row(alive).lease_expires_at
    assert until is not None and until <= utc_now() + timedelta(seconds=table.settings.lease_s + 5)
    with table.service() as jobs:
        assert jobs.heartbeat(alive, token)
