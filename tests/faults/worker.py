"""The worker with places where it can be made to die: `celery -A tests.faults.worker worker`.

It is the product's worker; only this module knows these places. A point is armed by a file of its name, which the first
process that comes along removes before it is killed or its disk is full.
"""

import errno
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import workers.tasks
from app.core.orm import utc_now
from app.jobs import repository
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore
from workers.celery_app import celery_app
from workers.supervisor import Attempt

FOLDER_VARIABLE = "XTALFORGE_FAULTS_FOLDER"
CLOCK_VARIABLE = "XTALFORGE_FAULTS_CLOCK_S"

__all__ = ["celery_app"]


class Point(StrEnum):
    CLAIMED = "claimed"
    """The job is claimed; nothing else of the attempt exists."""
    UPLOADING = "uploading"
    """Some objects of a model are stored, some are not."""
    UPLOADED = "uploaded"
    """All objects of a model are stored and its row is written, but not committed."""
    PART_STORED = "part-stored"
    """A part of a bulk prediction is stored, its row is not."""
    ENDED = "ended"
    """The job has ended and its message is not acknowledged."""
    STORE_FULL = "store-full"
    """The store has no room for an object."""


def arm(folder: Path, point: Point) -> None:
    (folder / point).touch()


def disarm(folder: Path, point: Point) -> bool:
    """Whether the point was still armed: then nothing came along."""
    try:
        (folder / point).unlink()
    except FileNotFoundError:
        return False
    return True


def _die_at(point: Point) -> None:
    if disarm(_folder, point):
        os.kill(os.getpid(), signal.SIGKILL)


def _after(owner: Any, name: str, point: Point) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        _die_at(point)
        return answer

    setattr(owner, name, wrapped)


def _before(owner: Any, name: str, point: Point) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _die_at(point)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def _failing_put(original: Callable[..., None]) -> Callable[..., None]:
    def put_new(self: ArtifactStore, path: str, content: bytes) -> None:
        if disarm(_folder, Point.STORE_FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, path, content)
        if path.startswith("artifacts/"):
            _die_at(Point.UPLOADING)
        elif path.startswith("bulk/"):
            _die_at(Point.PART_STORED)

    return put_new


def _wrong_clock() -> datetime:
    return utc_now() + timedelta(seconds=float(os.environ[CLOCK_VARIABLE]))


_folder = Path(os.environ.get(FOLDER_VARIABLE, os.devnull))
if FOLDER_VARIABLE in os.environ:
    _before(Attempt, "run", Point.CLAIMED)
    _after(RegistryService, "register_version", Point.UPLOADED)
    _after(workers.tasks, "run_attempt", Point.ENDED)
    ArtifactStore.put_new = _failing_put(ArtifactStore.put_new)  # type: ignore[method-assign]
if CLOCK_VARIABLE in os.environ:
    repository.utc_now = _wrong_clock
