# Written by app/client/generate.py: edit _async/transport.py instead.
"""Sending calls, with as many attempts as the policy allows."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import httpx

from xtalforge_client.calls import Answer, Call, parsed, refused
from xtalforge_client.downloads import Partial
from xtalforge_client.errors import ServerUnreachable
from xtalforge_client.retry import RetryPolicy
from xtalforge_client.waiting import sleep


class Transport:
    """One connection pool to one server."""

    def __init__(self, http: httpx.Client, retry: RetryPolicy) -> None:
        self.http = http
        self.retry = retry

    def ask(self, call: Call, model: type[Answer]) -> Answer:
        """The answer as a model. Raises ServerError, ServerUnreachable, UnexpectedAnswer."""
        return parsed(self.send(call), model)

    def send(self, call: Call) -> httpx.Response:
        """The answer, read to its end, of the first attempt that succeeds. Raises ServerError, ServerUnreachable."""
        for attempt in count(1):
            try:
                with ExitStack() as opened:
                    response = self.http.request(call.method, call.url, **call.arguments(opened))
            except httpx.TransportError as failure:
                self._wait_or_raise(attempt, failure, call)
                continue
            if response.is_success:
                return response
            wait_s = self.retry.wait_after_response(attempt, response, call.is_repeatable)
            if wait_s is None:
                raise refused(response)
            sleep(wait_s)
        raise AssertionError

    @contextmanager
    def stream(self, call: Call, timeout_s: float | None = None) -> Iterator[httpx.Response]:
        """An answer that is read bit by bit. A refusal is tried again as in `send`; raises ServerError, and
        httpx.TransportError as it is, for what was read is the caller's."""
        timeout = self.http.timeout if timeout_s is None else httpx.Timeout(timeout_s)
        for attempt in count(1):
            with self.http.stream(call.method, call.url, timeout=timeout, **call.arguments()) as response:
                if response.is_success:
                    yield response
                    return
                response.read()
            wait_s = self.retry.wait_after_response(attempt, response, call.is_repeatable)
            if wait_s is None:
                raise refused(response)
            sleep(wait_s)

    def download(self, call: Call, target: Path) -> Path:
        """Write an answer to a file, which appears when it is complete.

        A broken download goes on where it broke when the server can do that, and begins anew when it cannot. Raises
        ServerError, ServerUnreachable, OSError.
        """
        with Partial(target) as part:
            for attempt in count(1):
                n_before = part.n_bytes
                try:
                    with self.stream(part.continued(call)) as response:
                        with part.opened(response) as file:
                            for piece in response.iter_bytes():
                                file.write(piece)
                    return part.complete()
                except httpx.TransportError as failure:
                    # One that brought something new counts as a first attempt.
                    self._wait_or_raise(1 if part.n_bytes > n_before else attempt, failure, call)
        raise AssertionError

    def _wait_or_raise(self, attempt: int, failure: httpx.TransportError, call: Call) -> None:
        wait_s = self.retry.wait_after_failure(attempt, failure, call.is_repeatable)
        if wait_s is None:
            what = str(failure) or type(failure).__name__
            times = "" if attempt == 1 else f" ({attempt} attempts)"
            raise ServerUnreachable(
                f"{call.method} {self.http.base_url}: no complete answer: {what}{times}"
            ) from failure
        sleep(wait_s)
