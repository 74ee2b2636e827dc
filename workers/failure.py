"""What a process that broke off says of it."""

from contextlib import suppress

from app.core.disk import is_disk_full
from app.core.errors import XtalforgeError
from app.core.logging import get_logger
from app.jobs.errors import JobErrorCode
from workers.attempt import AttemptFolder, RunError

log = get_logger(__name__)

REASON_LENGTH = 300
OUT_OF_MEMORY_SIGNS = ("out of memory", "not enough memory", "cannot allocate memory", "can't allocate memory")
DISK_FULL_DETAIL = "The disk of the worker is full. Ask the administrator to make room, then start the job again."


def describe_error(error: BaseException, work: str, other_code: JobErrorCode, memory_advice: str) -> RunError:
    """A stable code and one sentence; `work` is what was done, as in "the training"."""
    if isinstance(error, XtalforgeError):
        return RunError(code=error.code, detail=error.detail)
    reason = str(error).strip().splitlines()
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in OUT_OF_MEMORY_SIGNS):
        detail = f"The {work} needed more memory than the worker has. {memory_advice}"
        return RunError(code=JobErrorCode.OUT_OF_MEMORY, detail=detail)
    if is_disk_full(error):
        return RunError(code=JobErrorCode.DISK_FULL, detail=DISK_FULL_DETAIL)
    described = f"{type(error).__name__}: {reason[0]}" if reason else type(error).__name__
    return RunError(code=other_code, detail=f"The {work} stopped with an internal error ({described[:REASON_LENGTH]}).")


def failed(attempt: AttemptFolder, told: RunError, event: str) -> int:
    """Leave what is told for the supervisor and log the error that is being handled; the exit code."""
    code = attempt.write_error(told)
    with suppress(MemoryError):  # a traceback for people may take more than is left
        log.exception(event, folder=attempt.path.name)
    return code
