"""The process of a bulk prediction: files in, parts out. It knows no database, no broker and no store."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from app.bulk.file_jobs import COUNTED_EVENT
from app.bulk.folder import RunFolder
from app.bulk.grants import GrantFile
from app.bulk.parts import PartInfo
from app.bulk.run import RunStopped, run_bulk
from app.core.logging import configure_logging, get_logger
from app.core.processes import die_with_parent
from app.jobs.errors import JobErrorCode
from workers.attempt import PARENT_PID_VARIABLE, STOPPED, SUCCEEDED, AttemptFolder
from workers.bulk import DONE_FILE, end_event, part_event
from workers.failure import describe_error, failed

log = get_logger(__name__)

MEMORY_ADVICE = "Let fewer processes work at once (XTALFORGE_BULK__PROCESSES)."

Step = Callable[[AttemptFolder], None]


def main(folder: Path, parent_pid: int, begin: Step | None = None, complete: Step | None = None) -> int:
    """Answer what lies in `folder`, between two steps of its own kind; the exit code (see `workers.attempt`)."""
    die_with_parent(parent_pid)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    attempt, run_folder = AttemptFolder(folder), RunFolder(folder)
    run = run_folder.run()
    configure_logging(run.log_level, run.log_format)
    try:
        if begin is not None:
            begin(attempt)
        teller = _Teller(attempt)
        run_bulk(run_folder, teller, stop.is_set, GrantFile(folder, teller.found_end))
        if complete is not None:
            complete(attempt)
        (folder / DONE_FILE).touch()
    except RunStopped:
        return STOPPED
    except Exception as error:  # noqa: BLE001 - told to the supervisor
        described = describe_error(error, "run", JobErrorCode.RUN_FAILED, MEMORY_ADVICE)
        return failed(attempt, described, "bulk prediction failed")
    return SUCCEEDED


class _Teller:
    """Tells the supervisor of each part, once it is on disk."""

    def __init__(self, attempt: AttemptFolder) -> None:
        self._attempt = attempt

    def counted(self, n_rows: int) -> None:
        self._attempt.append_event(COUNTED_EVENT, f"The file has {n_rows:,} inputs.", {"n_rows": n_rows})

    def found_end(self, n_rows: int, n_chunks: int) -> None:
        self._attempt.append_event(**end_event(n_rows, n_chunks))

    def finished(self, part: PartInfo) -> None:
        self._attempt.append_event(**part_event(part))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ[PARENT_PID_VARIABLE])))
