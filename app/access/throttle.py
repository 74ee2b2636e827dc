"""How often a key may be used, counted in Redis so that all API processes share the count, and wrong keys slowed."""

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
_MAX_ADDRESSES = 10_000

log = get_logger(__name__)


def wall_clock() -> float:
    """Seconds; all API processes must begin their minutes at the same time."""
    return time.time()


@dataclass(slots=True)
class _Count:
    """Requests of one key within one minute: those Redis knows of, and those here that it has not been told of."""

    minute: int
    shared: int = 0
    untold: int = 0


class RateLimiter:
    """Fixed windows of a minute. Without the broker each process counts for itself, and says so in the log."""

    def __init__(self, broker_url: str) -> None:
        self._redis = redis.Redis.from_url(
            broker_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=None
        )
        self._counts: dict[str, _Count] = {}
        self._lock = threading.Lock()
        self._warned_at = float("-inf")

    def count(self, key_id: str, most: int) -> None:
        """One more request. Raises RateLimited when the minute's are used up; it never waits."""
        now = wall_clock()
        minute = int(now // WINDOW_S)
        with self._lock:
            count = self._counts.get(key_id)
            if count is None or count.minute != minute:
                count = self._counts[key_id] = _Count(minute)
            if count.shared + count.untold < most:
                count.untold += 1
                return
        wait_s = math.ceil(WINDOW_S - now % WINDOW_S)
        raise RateLimited(
            f"This key may make {most:,} requests a minute. Try again in {wait_s} s.", limit=most, retry_after_s=wait_s
        )

    def sync(self) -> None:
        """Tell Redis of the requests since the last time, and learn of those that other processes had. Blocks."""
        minute = int(wall_clock() // WINDOW_S)
        with self._lock:
            self._counts = {key: count for key, count in self._counts.items() if count.minute == minute}
            told = {key: count.untold for key, count in self._counts.items()}
        if not told:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key, n in told.items():
                    pipe.incrby(name := f"xtalforge:rate:{key}:{minute}", n)
                    pipe.expire(name, 2 * WINDOW_S)
                totals = pipe.execute()[::2]
        except redis.RedisError as error:
            self._warn(error)
            return
        with self._lock:
            for (key, n), total in zip(told.items(), totals, strict=True):
                count = self._counts.get(key)
                if count is not None and count.minute == minute:
                    count.shared, count.untold = total, count.untold - n

    def close(self) -> None:
        self._redis.close()

    def _warn(self, error: redis.RedisError) -> None:
        if time.monotonic() - self._warned_at > WARN_EVERY_S:
            self._warned_at = time.monotonic()
            log.warning("rate limits are counted by each API process alone: broker unreachable", reason=str(error))


class FailureThrottle:
    """Wrong keys by the address they come from, within one minute, in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = 0
        self._failures: dict[str, int] = {}

    def check(self, address: str) -> None:
        """Raises RateLimited for an address that sent too many wrong keys, before the next one is looked at."""
        now = wall_clock()
        if int(now // WINDOW_S) != self._minute:
            self._minute, self._failures = int(now // WINDOW_S), {}
        if self._failures.get(address, 0) >= self._most:
            wait_s = math.ceil(WINDOW_S - now % WINDOW_S)
            raise RateLimited(
                f"Too many wrong keys came from this address. Try again in {wait_s} s.", retry_after_s=wait_s
            )

    def note(self, address: str) -> None:
        if len(self._failures) < _MAX_ADDRESSES or address in self._failures:
            self._failures[address] = self._failures.get(address, 0) + 1
