"""One HTTP request to a receiver: to the address that was checked, without redirects, within one deadline."""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import httpcore
import httpx

from app.core.errors import WebhookRefused
from app.core.settings import WebhookSettings
from app.webhooks.addresses import resolved

GONE = 410
_WAIT_STATUSES = (429, 503)
_MAX_WAIT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; `error` is None where the receiver took the message."""

    status_code: int | None
    error: str | None
    seconds: float
    retry_after_s: float | None = None


def send(url: str, headers: dict[str, str], body: str, settings: WebhookSettings) -> Outcome:
    """POST a message. Never raises: what goes wrong is the outcome. The answer's body is not read."""
    started = time.monotonic()
    backend = _CheckedBackend(settings.allow_private, started + settings.timeout_s)
    sent = [(b"content-type", b"application/json"), (b"user-agent", f"xtalforge/{version('xtalforge')}".encode())]
    sent += [(name.encode(), value.encode()) for name, value in headers.items()]
    status: int | None = None
    retry_after: float | None = None
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_trusted(), network_backend=backend, retries=0) as pool,
            pool.stream("POST", url, headers=sent, content=body.encode(), extensions=_timeouts(settings)) as answer,
        ):
            status, retry_after = answer.status, _retry_after(answer)
        error = _refusal(status)
    except WebhookRefused as refused:
        error = refused.detail
    except httpcore.TimeoutException:
        error = f"The receiver did not answer within {settings.timeout_s:g} s."
    # UnicodeError: of a name that cannot be looked up.
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, UnicodeError) as failure:
        error = f"The receiver cannot be reached ({_reason(failure)})."
    return Outcome(status, error, round(time.monotonic() - started, 3), retry_after)


def _refusal(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed."
    return f"The receiver answered {status}."


def _retry_after(answer: httpcore.Response) -> float | None:
    """Seconds that a busy receiver asks for; dates are not read."""
    for name, value in answer.headers:
        if name.lower() == b"retry-after" and answer.status in _WAIT_STATUSES and value.isdigit():
            return min(float(value), _MAX_WAIT_S)
    return None


def _reason(failure: Exception) -> str:
    """In few words, without addresses or paths."""
    text = str(failure)
    cause = failure if isinstance(failure, OSError) else failure.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return text[:200] or type(failure).__name__


def _timeouts(settings: WebhookSettings) -> dict[str, Any]:
    return {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), settings.timeout_s)}


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class _CheckedBackend(httpcore.NetworkBackend):
    """Resolves names itself and connects to what it has checked: a second look-up could answer otherwise."""

    def __init__(self, allow_private: bool, deadline: float) -> None:
        self._allow_private = allow_private
        self._deadline = deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        error: Exception | None = None
        for address in resolved(host, port, allow_private=self._allow_private):
            try:
                left = _left(self._deadline, timeout)
                stream = self._plain.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                error = failure
            else:
                return _TimedStream(stream, self._deadline)
        raise error if error is not None else httpcore.ConnectError("the name has no address")


class _TimedStream(httpcore.NetworkStream):
    """Whoever answers byte by byte does not get more time than who answers at once."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline, timeout))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = min(deadline - time.monotonic(), timeout if timeout is not None else deadline)
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline is over")
    return left
