"""When to try again, and after how long."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

REFUSED = frozenset({429, 503})
"""The request was not begun, so that any may be sent again."""
BROKEN = frozenset({502, 504})
"""From a proxy, which does not know what became of the request."""


@dataclass(frozen=True)
class RetryPolicy:
    """At most `attempts` requests for one call: the second after `first_wait_s`, each further after twice as long.

    What the server asks for (`Retry-After`) goes before, up to `longest_wait_s`: when it asks for more, the error is
    raised at once. Waits are lengthened by up to a quarter at random, so that clients do not come back together.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0

    def wait_after_response(self, attempt: int, response: httpx.Response, is_repeatable: bool) -> float | None:
        """Seconds until the next attempt; None: there is none. `attempt` counts from 1."""
        if response.status_code not in REFUSED and not (is_repeatable and response.status_code in BROKEN):
            return None
        return self._wait(attempt, retry_after_of(response))

    def wait_after_failure(self, attempt: int, failure: httpx.TransportError, is_repeatable: bool) -> float | None:
        """The same when no answer came. What may have reached the server is sent again only if that does no harm."""
        was_sent = not isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if (was_sent and not is_repeatable) or isinstance(failure, httpx.UnsupportedProtocol):
            return None
        return self._wait(attempt, None)

    def _wait(self, attempt: int, asked_s: float | None) -> float | None:
        if attempt >= self.attempts or (asked_s is not None and asked_s > self.longest_wait_s):
            return None
        wait_s = asked_s if asked_s is not None else min(self.first_wait_s * 2 ** (attempt - 1), self.longest_wait_s)
        return wait_s * (1 + random.random() / 4)


def retry_after_of(response: httpx.Response) -> float | None:
    """Seconds of the header `Retry-After`, which is a number or a date; None without one that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
