"""The worker with places where it can be made to die: `celery -A tests.faults.worker worker`."""

import errno
import os
from collections.abc import Callable
from datetime import datetime, timedelta

import workers.tasks
from app.core.orm import utc_now
from app.jobs import repository
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore
from tests.faults.points import Point, die_after, die_at, die_before, disarm, folder_of_points, is_watched
from workers.celery_app import celery_app
from workers.supervisor import Attempt

CLOCK_VARIABLE = "XTALFORGE_FAULTS_CLOCK_S"

__all__ = ["celery_app"]


def _failing_put(original: Callable[..., None]) -> Callable[..., None]:
    def put_new(self: ArtifactStore, path: str, content: bytes) -> None:
        if disarm(folder_of_points(), Point.STORE_FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, path, content)
        if path.startswith("artifacts/"):
            die_at(Point.UPLOADING)
        elif path.startswith("bulk/"):
            die_at(Point.PART_STORED)

    return put_new


def _wrong_clock() -> datetime:
    return utc_now() + timedelta(seconds=float(os.environ[CLOCK_VARIABLE]))


if is_watched():
    die_before(Attempt, "run", Point.CLAIMED)
    die_after(RegistryService, "register_version", Point.UPLOADED)
    die_after(workers.tasks, "run_attempt", Point.ENDED)
    ArtifactStore.put_new = _failing_put(ArtifactStore.put_new)  # type: ignore[method-assign]
if CLOCK_VARIABLE in os.environ:
    repository.utc_now = _wrong_clock
