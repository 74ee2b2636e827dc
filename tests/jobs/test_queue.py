import socket
import time

import pytest
import redis

from app.core.errors import BrokerUnavailable
from app.jobs.kinds import QueueName
from app.jobs.queue import QUEUES, JobQueue


def test_a_message_holds_the_job_id_only(broker_url: str) -> None:
    queue = JobQueue(broker_url)
    assert queue.is_empty()
    queue.send("job_1")
    assert not queue.is_empty()
    with redis.Redis.from_url(broker_url) as client:
        assert client.llen(QUEUES[QueueName.TRAINING]) == 1
        assert b"application/json" in client.lindex(QUEUES[QueueName.TRAINING], 0)
        client.flushall()
    assert queue.is_empty()
    queue.close()


def test_a_broker_that_is_away_is_told_within_seconds() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue = JobQueue(f"redis://127.0.0.1:{port}/0")
    for call in (lambda: queue.send("job_1"), queue.is_empty):
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            call()
        assert time.monotonic() - started < 5
    queue.close()


def test_a_broker_that_does_not_answer_is_told_within_seconds() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        queue = JobQueue(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        for call in (lambda: queue.send("job_1"), queue.is_empty):
            started = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                call()
            assert time.monotonic() - started < 10
        queue.close()


def test_sending_works_again_when_the_broker_is_back(broker_url: str) -> None:
    queue = JobQueue(broker_url)
    queue.send("job_1")
    with redis.Redis.from_url(broker_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    queue.send("job_2")
    assert not queue.is_empty()
    queue.close()
