"""Shards of one job: handed out once, lost with their lease, fenced by their token."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import update

from app.core.db import open_session
from app.core.orm import utc_now
from app.jobs.errors import LeaseLost
from app.jobs.kinds import QueueName
from app.jobs.models import JobShard
from app.jobs.shards import InputSize, Shard, ShardRepository
from app.jobs.sharing import JobSharing
from tests.jobs.conftest import JobTable

LEASE_S = 60.0


@contextmanager
def _shards(table: JobTable, job_id: str) -> Iterator[ShardRepository]:
    """In a transaction that holds the job's row, as workers do."""
    with open_session(table.sessions) as session:
        JobSharing(session).hold(job_id)
        yield ShardRepository(session)


def _claim(table: JobTable, job_id: str, who: str, n: int = 3) -> Shard | None:
    with _shards(table, job_id) as shards:
        return shards.claim(job_id, f"token of {who}", who, n, LEASE_S)


def _join(table: JobTable, job_id: str, who: str) -> str | None:
    with open_session(table.sessions) as session:
        return JobSharing(session).join(job_id, who, list(QueueName))


def test_each_chunk_is_handed_out_once_to_any_number_of_workers(table: JobTable) -> None:
    job_id, _ = table.claimed()
    with ThreadPoolExecutor(4) as pool:
        found = [shard for shard in pool.map(lambda i: _claim(table, job_id, f"w{i % 4}"), range(12)) if shard]
    assert sorted(found) == [Shard(3 * i, 3) for i in range(12)]


def test_a_silent_worker_loses_its_shards_and_may_not_record_them(table: JobTable) -> None:
    job_id, _ = table.claimed()
    assert _claim(table, job_id, "slow") == (0, 3)
    assert _claim(table, job_id, "other") == (3, 3)
    with open_session(table.sessions) as session:
        past = utc_now() - timedelta(seconds=1)
        session.execute(update(JobShard).where(JobShard.worker_id == "slow").values(lease_expires_at=past))
    assert _claim(table, job_id, "other") == (0, 3)
    with _shards(table, job_id) as shards:
        assert shards.renew(job_id, "token of slow", LEASE_S) == 0
        assert shards.renew(job_id, "token of other", LEASE_S) == 2
        shards.require(job_id, "token of other", 2)
    with pytest.raises(LeaseLost), _shards(table, job_id) as shards:
        shards.require(job_id, "token of slow", 1)


def test_a_job_is_complete_when_its_end_is_known_and_nothing_before_it_is_open(table: JobTable) -> None:
    job_id, token = table.claimed()
    assert [_claim(table, job_id, who) for who in ("a", "b", "c")] == [(0, 3), (3, 3), (6, 3)]
    with _shards(table, job_id) as shards:
        shards.set_size(job_id, InputSize(n_rows=42, n_chunks=5))  # the last two chunks of b, and c, are beyond
        assert shards.size(job_id) == (42, 5)
        shards.close(job_id, "token of a", [0])
        assert not shards.is_complete(job_id)
    with _shards(table, job_id) as shards:
        shards.close(job_id, "token of b", [3])
        assert shards.is_complete(job_id)
    assert _claim(table, job_id, "d") is None
    with table.service() as jobs:
        jobs.succeed(job_id, token, {})
    with open_session(table.sessions) as session:
        assert ShardRepository(session).workers(job_id) == set()
    with pytest.raises(LeaseLost):
        _claim(table, job_id, "c")


def test_workers_join_what_is_shared_and_only_while_nothing_waits(table: JobTable) -> None:
    job_id, token = table.claimed()
    assert _join(table, job_id, "w2") is None  # its leader has handed out nothing yet
    with _shards(table, job_id) as shards:
        shards.claim(job_id, token, "w1", 3, LEASE_S)
    assert _join(table, job_id, "w1") is None  # it leads already
    assert _join(table, job_id, "w2") is not None
    with open_session(table.sessions) as session:
        assert JobSharing(session).wanting_help(QueueName.TRAINING) == [job_id]
    waiting = table.create()
    assert _join(table, job_id, "w2") is None
    with open_session(table.sessions) as session:
        assert JobSharing(session).wanting_help(QueueName.TRAINING) == []
    table.claim(waiting)
    with table.service() as jobs:
        jobs.request_pause(job_id)
        jobs.paused(job_id, token)
    assert _join(table, job_id, "w2") is None
    with open_session(table.sessions) as session:
        assert ShardRepository(session).workers(job_id) == set()
