"""`python -m workers.run_job JOB_ID`: one attempt at one job without a broker, as `xtalforge fine-tune` needs it."""

import signal
import sys

from app.core.logging import configure_logging
from app.core.settings import Settings
from workers import runtime
from workers.supervisor import run_attempt


def main(job_id: str) -> None:
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    # SIGTERM must unwind the attempt, so that it stops the training process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    run_attempt(runtime.context(), job_id)


if __name__ == "__main__":
    main(sys.argv[1])
