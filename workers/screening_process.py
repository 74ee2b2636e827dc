"""The process of a screening: files in, parts and the choice among them out."""

import os
import sys
from pathlib import Path

from app.bulk.folder import RunFolder
from app.screening.selecting import select
from app.screening.spec import SELECTING_EVENT
from workers.attempt import PARENT_PID_VARIABLE, AttemptFolder
from workers.bulk_process import main


def complete(attempt: AttemptFolder) -> None:
    attempt.append_event(SELECTING_EVENT, "All candidates are predicted; the best are chosen.", {})
    select(RunFolder(attempt.path))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(os.environ[PARENT_PID_VARIABLE]), complete))
