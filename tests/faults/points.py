"""Places where a process of the product can be made to die.

Only this folder knows them. A point is armed by a file of its name, which the first process that comes along removes
before it is killed or its disk is full.
"""

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "XTALFORGE_FAULTS_FOLDER"


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
    INPUT_STORED = "input-stored"
    """The API has stored the input of a job; there is no row."""
    UNCOMMITTED = "uncommitted"
    """The API has written a job, but not committed it."""
    COMMITTED = "committed"
    """The job is committed; the API has sent no message."""
    SENT = "sent"
    """The message of a job has left; the API has not noted it."""


def arm(folder: Path, point: Point) -> None:
    (folder / point).touch()


def is_armed(folder: Path, point: Point) -> bool:
    return (folder / point).exists()


def disarm(folder: Path, point: Point) -> bool:
    """Whether the point was still armed: then nothing came along."""
    try:
        (folder / point).unlink()
    except FileNotFoundError:
        return False
    return True


def die_at(point: Point) -> None:
    if disarm(folder_of_points(), point):
        os.kill(os.getpid(), signal.SIGKILL)


def die_after(owner: Any, name: str, point: Point) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        die_at(point)
        return answer

    setattr(owner, name, wrapped)


def die_before(owner: Any, name: str, point: Point) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        die_at(point)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def folder_of_points() -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE, os.devnull))


def is_watched() -> bool:
    """Whether the process was started to die."""
    return FOLDER_VARIABLE in os.environ
