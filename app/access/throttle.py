"""How often a key may be used and how many wrong ones an address may send, counted together by all API processes."""

import math
import threading
import time
from dataclasses import dataclass

import redis

from app.core.errors import RateLimited
from app.core.logging import get_logger

SYNC_S = 0.5
"""How long the processes may not know of each other's requests: a limit is overrun by what comes in that time."""

TIMEOUT_S = 1.0
WINDOW_S = 60
WARN_EVERY_S = 60.0
MAX_NAMES = 10_000
"""Most that a process counts in one minute; a flood of addresses must not take its memory."""

log = get_logger(__name__)


def wall_clock() -> float:
    """Seconds; all API processes must begin their minutes at the same time."""
    return time.time()


@dataclass(slots=True)
class _Count:
    """What happened within one minute: what Redis knows of, and what happened here that it has not been told of."""

    minute: int
    shared: int = 0
    untold: int = 0

    @property
    def total(self) -> int:
        return self.shared + self.untold


class SharedCounts:
    """Fixed windows of a minute, by name. Without the broker each process counts for itself, and says so in the log."""

    def __init__(self, broker_url: str, kind: str) -> None:
        """`kind` of names: those of another kind are counted apart."""
        self._kind = kind
        self._redis = redis.Redis.from_url(
            broker_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
        )
        self._counts: dict[str, _Count] = {}
        self._lock = threading.Lock()
        self._warned_at = float("-inf")

    def add(self, name: str, most: int) -> bool:
        """One more; False, and nothing counted, where there are `most` already. It never waits."""
        minute = _minute()
        with self._lock:
            count = self._counts.get(name)
            if count is None or count.minute != minute:
                if count is None and len(self._counts) >= MAX_NAMES:
                    return True
                count = self._counts[name] = _Count(minute)
            if count.total >= most:
                return False
            count.untold += 1
            return True

    def of(self, name: str) -> int:
        """How many there were in this minute."""
        with self._lock:
            count = self._counts.get(name)
            return count.total if count is not None and count.minute == _minute() else 0

    def sync(self) -> None:
        """Tell Redis of what happened since the last time, and learn of what other processes saw. Blocks."""
        minute = _minute()
        with self._lock:
            self._counts = {name: count for name, count in self._counts.items() if count.minute == minute}
            told = {name: count.untold for name, count in self._counts.items()}
        if not told:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for name, n in told.items():
                    pipe.incrby(key := f"xtalforge:{self._kind}:{name}:{minute}", n)
                    pipe.expire(key, 2 * WINDOW_S)
                totals = pipe.execute()[::2]
        except redis.RedisError as error:
            self._warn(error)
            return
        with self._lock:
            for (name, n), total in zip(told.items(), totals, strict=True):
                count = self._counts.get(name)
                if count is not None and count.minute == minute:
                    count.shared, count.untold = total, count.untold - n

    def close(self) -> None:
        self._redis.close()

    def _warn(self, error: redis.RedisError) -> None:
        if time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning("limits are counted by each API process alone: broker unreachable", reason=str(error))


class RateLimiter(SharedCounts):
    """Requests by key."""

    def __init__(self, broker_url: str) -> None:
        super().__init__(broker_url, "rate")

    def count(self, key_id: str, most: int) -> None:
        """One more request. Raises RateLimited when the minute's are used up; it never waits."""
        if self.add(key_id, most):
            return
        wait_s = _rest_of_minute()
        raise RateLimited(
            f"This key may make {most:,} requests a minute. Try again in {wait_s} s.", limit=most, retry_after_s=wait_s
        )


class FailureThrottle(SharedCounts):
    """Wrong keys by the address they come from."""

    def __init__(self, broker_url: str, most: int) -> None:
        super().__init__(broker_url, "wrong-keys")
        self._most = most

    def check(self, address: str) -> None:
        """Raises RateLimited for an address that sent too many wrong keys, before the next one is looked at."""
        if self.of(address) >= self._most:
            wait_s = _rest_of_minute()
            raise RateLimited(
                f"Too many wrong keys came from this address. Try again in {wait_s} s.", retry_after_s=wait_s
            )

    def note(self, address: str) -> None:
        """One more wrong key."""
        self.add(address, self._most)


def _minute() -> int:
    return int(wall_clock() // WINDOW_S)


def _rest_of_minute() -> int:
    return math.ceil(WINDOW_S - wall_clock() % WINDOW_S)
