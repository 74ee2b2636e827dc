"""What can go wrong, as exceptions. All are `XtalforgeClientError`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtalforge_client.models import PredictionAnswer, PredictionError


class XtalforgeClientError(Exception):
    """Base of all errors of this package."""

    partial: "PredictionAnswer | None" = None
    """What `predict` had before the error, when it was sending in parts."""


class UnusableInput(XtalforgeClientError):
    """An object that is no structure and no composition; nothing was sent."""


class InputsFailed(XtalforgeClientError):
    """Inputs without a value, where every input must have one."""

    def __init__(self, errors: "list[PredictionError]") -> None:
        shown = "; ".join(f"{error.input_id}: {error.detail} [{error.code}]" for error in errors[:3])
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        super().__init__(f"{len(errors)} without a value. {shown}{more}")
        self.errors = errors


class ServerUnreachable(XtalforgeClientError):
    """No answer, or a broken one, after all attempts."""


class UnexpectedAnswer(XtalforgeClientError):
    """An answer that is not what the API's description says: no Xtalforge server, or one of another version."""


class ServerError(XtalforgeClientError):
    """The server answered with a problem document (RFC 9457).

    `code` is stable and for programs, `detail` is for people, `problem` holds all members.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        self.problem = dict(problem)
        self.code = str(problem.get("code", f"http_{status}"))
        self.detail = str(problem.get("detail", "The server gave no reason."))
        self.request_id = problem.get("request_id")
        self.retry_after_s = retry_after_s
        """Seconds the server asked to wait for, when it did."""
        super().__init__(f"{self.detail} [{self.code}, HTTP {status}]")


class NotFound(ServerError):
    """404: there is none, or none that this key may see."""


class Conflict(ServerError):
    """409 or 412: the object is not in the state that the call needs."""


class Refused(ServerError):
    """401 or 403: no key, a wrong one, or one that does not allow this."""


class Busy(ServerError):
    """429 or 503, also after all attempts."""


class JobFailed(XtalforgeClientError):
    """A job that was waited for has ended without success; `job` tells why."""

    def __init__(self, job: Any) -> None:
        self.job = job
        why = f"{job.error.detail} [{job.error.code}]" if job.error else job.status_reason or "no reason given"
        super().__init__(f"{job.id} {job.status}: {why}")


class JobTimeout(XtalforgeClientError):
    """A job had not ended in the time that was given; it goes on."""


def error_of(status: int, problem: Mapping[str, Any], retry_after_s: float | None) -> ServerError:
    """The exception for an answer that is an error."""
    kinds = {401: Refused, 403: Refused, 404: NotFound, 409: Conflict, 412: Conflict, 429: Busy, 503: Busy}
    return kinds.get(status, ServerError)(status, problem, retry_after_s)
