"""Whether an installation is at work: what is copied while it works lacks what comes after."""

import fcntl
from pathlib import Path

from sqlalchemy import Connection, func, select

from app.core.orm import utc_now
from app.jobs.models import Job
from app.jobs.status import HELD
from app.maintenance.errors import InUse

UP_LOCK = "up.lock"


def refuse_in_use(data_dir: Path, connection: Connection) -> None:
    """InUse while `xtalforge up` runs on the folder or a worker holds a job."""
    if _is_locked(data_dir / UP_LOCK):
        raise InUse(f"`xtalforge up` runs on {data_dir}: stop it first, so that nothing is written meanwhile.")
    job = Job.__table__.c
    held = job.status.in_(HELD), job.lease_expires_at > utc_now()
    n = connection.scalar(select(func.count()).where(*held))
    if n:
        raise InUse(f"Workers hold {n} jobs: stop the workers and the API first, so that nothing is written meanwhile.")


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
