"""Counting requests and wrong keys: shared through a real broker, alone without one."""

import pytest
import structlog

from app.access.throttle import FailureThrottle, RateLimiter
from app.core.errors import RateLimited

NOON = 1_780_000_020.0
"""Where a minute begins."""


@pytest.fixture(autouse=True)
def within_one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.access.throttle.wall_clock", lambda: NOON + 7)


def _used(limiter: RateLimiter, key: str, most: int) -> int:
    """How many requests get through."""
    for n in range(most):
        try:
            limiter.count(key, most)
        except RateLimited:
            return n
    with pytest.raises(RateLimited) as refusal:
        limiter.count(key, most)
    assert 0 < refusal.value.context["retry_after_s"] <= 60
    return most


def test_processes_share_the_count(broker_url: str) -> None:
    one, other = RateLimiter(broker_url), RateLimiter(broker_url)
    for _ in range(6):
        one.count("k", 10)
    one.sync()
    other.count("k", 10)
    other.sync()  # now it knows of the six
    assert _used(other, "k", 10) == 3
    other.sync()
    one.sync()
    assert _used(one, "k", 10) == 0
    assert _used(one, "another", 10) == 10
    one.close()
    other.close()


def test_what_comes_between_two_syncs_is_counted_once(broker_url: str) -> None:
    limiter = RateLimiter(broker_url)
    for _ in range(3):
        limiter.count("k", 10)
        limiter.sync()
        limiter.sync()
    assert _used(limiter, "k", 10) == 7
    limiter.close()


def test_without_a_broker_each_process_counts_alone_and_says_so() -> None:
    limiter = RateLimiter("redis://127.0.0.1:1/0")
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            limiter.count("k", 10)
            limiter.sync()
    assert _used(limiter, "k", 10) == 6
    assert [entry["log_level"] for entry in logs] == ["warning"], "once, not at every sync"
    limiter.close()


def test_a_new_minute_begins_at_zero(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = NOON
    monkeypatch.setattr("app.access.throttle.wall_clock", lambda: now)
    limiter = RateLimiter(broker_url)
    assert _used(limiter, "k", 2) == 2
    limiter.sync()
    now += 60
    assert _used(limiter, "k", 2) == 2
    limiter.sync()
    assert _used(limiter, "k", 2) == 0
    limiter.close()


def test_wrong_keys_are_counted_by_address_in_all_processes(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = FailureThrottle(broker_url, 3), FailureThrottle(broker_url, 3)
    for throttle in (one, one, other):
        throttle.check("192.0.2.1")
        throttle.note("192.0.2.1")
    for throttle in (one, other, one):
        throttle.sync()
    for throttle in (one, other):
        with pytest.raises(RateLimited):
            throttle.check("192.0.2.1")
        throttle.check("192.0.2.2")
    monkeypatch.setattr("app.access.throttle.wall_clock", lambda: NOON + 60)
    one.check("192.0.2.1")
    for throttle in (one, other):
        throttle.close()


def test_a_flood_of_addresses_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.access.throttle.MAX_NAMES", 2)
    throttle = FailureThrottle("redis://127.0.0.1:1/0", 1)
    for number in range(4):
        throttle.note(f"192.0.2.{number}")
    with pytest.raises(RateLimited):
        throttle.check("192.0.2.1")
    throttle.check("192.0.2.3")
    throttle.close()
