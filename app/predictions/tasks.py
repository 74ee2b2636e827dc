"""What is to be read, as it is handed to another process, and how it is read there or here."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.core.errors import StructureTooLarge, XtalforgeError
from app.learning.featurising import BuildGraph, FeaturisedStructure, featurise_crystal, featurise_text
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat

LIGHT_CHARACTERS = 4_000
LIGHT_SITES = 150
LIGHT_IMAGES = 200_000
REACH = 8.0
"""Å. How far neighbours are looked for."""

Structures = list[FeaturisedStructure]


@dataclass(frozen=True, slots=True)
class TextTask:
    """A text to be read; without a format it is recognised by file name and content.

    `only_light`: it is given back unread, as no structure at all, when that turns out to be more than a matter of
    milliseconds.
    """

    text: str
    fmt: StructureFormat | None
    file_name: str
    settings: tuple[GraphSettings, ...]
    only_light: bool = False


@dataclass(frozen=True, slots=True)
class CrystalTask:
    """A crystal that was read already and needs graphs only; `only_light` as in TextTask."""

    crystal: Crystal
    settings: tuple[GraphSettings, ...]
    only_light: bool = False


Task = TextTask | CrystalTask


class ServiceFault(XtalforgeError):
    """Not the input's fault; the log has the details."""


def featurise(task: Task, build: BuildGraph = build_crystal_graph) -> Structures:
    """Every structure of the task, at least one, or its error; none for a task that is not light but has to be.

    Never raises XtalforgeError.
    """
    if isinstance(task, CrystalTask):
        read = [FeaturisedStructure("", task.crystal, (), None)]
    else:
        read = featurise_text(task.text, task.fmt, task.file_name, ())
    if task.only_light and not all(entry.crystal is None or _is_light(entry.crystal) for entry in read):
        return []
    return [
        entry
        if entry.crystal is None
        else replace(entry, graphs=featurise_crystal(entry.crystal, task.settings, build))
        for entry in read
    ]


def guarded(make: Callable[[], Structures]) -> Structures:
    """What `make` gives, or an error in its place: one structure must not take the others' answers with it."""
    try:
        return make()
    except MemoryError:
        return failed(StructureTooLarge("The structure needs more memory than one structure is given."))
    except Exception:
        logging.getLogger(__name__).exception("unexpected error while a structure was read")
        return failed(ServiceFault("Something went wrong inside the service while this structure was read."))


def failed(error: XtalforgeError) -> Structures:
    """The answer for a task that cannot be used."""
    return [FeaturisedStructure("", None, (), error)]


def _is_light(crystal: Crystal) -> bool:
    """Whether its graph is quick: few atoms, and a cell that is no splinter with countless images in reach."""
    if crystal.n_sites > LIGHT_SITES:
        return False
    a, b, c = crystal.lattice
    images = 8.0 * crystal.n_sites
    for area in (np.cross(b, c), np.cross(c, a), np.cross(a, b)):
        images *= 1.0 + REACH * float(np.sqrt(area @ area)) / crystal.volume
    return images < LIGHT_IMAGES
