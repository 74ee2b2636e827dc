"""What is to be read, as it is handed to another process, and how it is read there or here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.core.errors import StructureTooLarge, XtalforgeError
from app.learning.featurising import FeaturisedStructure, featurise_crystal, featurise_text
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat


@dataclass(frozen=True, slots=True)
class TextTask:
    """A text to be read; without a format it is recognised by file name and content."""

    text: str
    fmt: StructureFormat | None
    file_name: str
    settings: tuple[GraphSettings, ...]


@dataclass(frozen=True, slots=True)
class CrystalTask:
    """A crystal that was read already and needs graphs only."""

    crystal: Crystal
    settings: tuple[GraphSettings, ...]


Task = TextTask | CrystalTask


class ServiceFault(XtalforgeError):
    """Not the input's fault; the log has the details."""


def featurise(task: Task) -> list[FeaturisedStructure]:
    """Every structure of the task, at least one, or its error. Never raises XtalforgeError."""
    if isinstance(task, TextTask):
        return featurise_text(task.text, task.fmt, task.file_name, task.settings)
    return [FeaturisedStructure("", task.crystal, featurise_crystal(task.crystal, task.settings), None)]


def guarded(make: Callable[[], list[FeaturisedStructure]]) -> list[FeaturisedStructure]:
    """What `make` gives, or an error in its place: one structure must not take the others' answers with it."""
    try:
        return make()
    except MemoryError:
        return failed(StructureTooLarge("The structure needs more memory than one structure is given."))
    except Exception:
        logging.getLogger(__name__).exception("unexpected error while a structure was read")
        return failed(ServiceFault("Something went wrong inside the service while this structure was read."))


def failed(error: XtalforgeError) -> list[FeaturisedStructure]:
    """The answer for a task that cannot be used."""
    return [FeaturisedStructure("", None, (), error)]
