"""What is to be read, as it is handed to another process, and how it is read there or here."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

from app.core.errors import StructureError, StructureTooLarge, XtalforgeError
from app.learning.featurising import BuildGraph, FeaturisedStructure, featurise_crystal
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.geometry import box_volume, cell_heights
from app.structures.limits import DEFAULT_LIMITS, StructureLimits
from app.structures.reader import read_structures, structure_from_dict
from app.structures.result import StructureResult

LIGHT_CHARACTERS = 4_000
LIGHT_LIMITS = StructureLimits(
    max_bytes=4 * LIGHT_CHARACTERS,
    max_blocks=8,
    max_sites=150,
    max_images=5_000,
    max_images_of_text=5_000,
    max_operations=192,
    max_skew=20.0,
    min_height=1.0,
)
"""What is read beside other requests, in the thread they wait for: a matter of milliseconds whatever the text."""
LANE_CHARACTERS = 16_000
READER_LIMITS = replace(
    LIGHT_LIMITS,
    max_bytes=4 * LANE_CHARACTERS,
    max_sites=300,
    max_images=20_000,
    max_images_of_text=20_000,
)
"""What a process reads beside that thread, where only other texts of this length wait for it."""
LIGHT_IMAGES = 100_000
LIGHT_EDGES = 20_000
LIGHT_CUBES = 50_000
"""A search for neighbours divides the box around the cell into cubes, at the most as wide as the cutoff."""

Structures = list[FeaturisedStructure]


@dataclass(frozen=True, slots=True)
class TextTask:
    """A text to be read; without a format it is recognised by file name and content.

    `only_light`: it is given back unread, as no structure at all, when that would keep others waiting; see LIGHT_LIMITS
    and, for longer texts, READER_LIMITS.
    """

    text: str
    fmt: StructureFormat | None
    file_name: str
    settings: tuple[GraphSettings, ...]
    only_light: bool = False

    @property
    def limits(self) -> StructureLimits:
        if not self.only_light:
            return DEFAULT_LIMITS
        return LIGHT_LIMITS if is_short(self) else READER_LIMITS


@dataclass(frozen=True, slots=True)
class ObjectTask:
    """One structure object (pymatgen, ASE or OPTIMADE) as JSON text."""

    text: str
    settings: tuple[GraphSettings, ...]

    @property
    def only_light(self) -> bool:
        return False


Task = TextTask | ObjectTask


def is_short(task: Task) -> bool:
    """Whether it may be read in the thread that others wait for."""
    return len(task.text) <= LIGHT_CHARACTERS


class ServiceFault(XtalforgeError):
    """Not the input's fault; the log has the details."""


def featurise(task: Task, build: BuildGraph = build_crystal_graph) -> Structures:
    """Every structure of the task, at least one, or its error; none for a task that is not light but has to be.

    Never raises XtalforgeError.
    """
    read = _read(task)
    if task.only_light and not all(_is_light(result, task.settings) for result in read):
        return []
    return [
        FeaturisedStructure(name, None, (), error)
        if crystal is None
        else FeaturisedStructure(name, crystal, _graphs(crystal, task.settings, build), None)
        for name, crystal, error in read
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


def _read(task: Task) -> list[StructureResult]:
    if isinstance(task, TextTask):
        return read_structures(task.text, task.fmt, task.file_name, task.limits)
    try:
        return [StructureResult("", structure_from_dict(json.loads(task.text)), None)]
    except StructureError as error:
        return [StructureResult("", None, error)]


def _graphs(
    crystal: Crystal, settings: tuple[GraphSettings, ...], build: BuildGraph
) -> tuple[CrystalGraph | XtalforgeError, ...]:
    """One for each of the settings, none with more edges than they allow: the bound before is an estimate."""
    return tuple(
        StructureTooLarge(f"The structure has {graph.n_edges:,} neighbours; at most {each.max_edges:,} are allowed.")
        if isinstance(graph, CrystalGraph) and graph.n_edges > each.max_edges
        else graph
        for graph, each in zip(featurise_crystal(crystal, settings, build), settings, strict=True)
    )


def _is_light(result: StructureResult, settings: tuple[GraphSettings, ...]) -> bool:
    """Whether it was read within the limits, and its graphs are quick: few neighbours, in a cell that is no splinter
    with countless images in reach."""
    if result.crystal is None:
        return not isinstance(result.error, StructureTooLarge)
    return all(_is_quick(result.crystal, each) for each in settings)


def _is_quick(crystal: Crystal, settings: GraphSettings) -> bool:
    images = 8.0 * crystal.n_sites
    for height in cell_heights(crystal.lattice):
        images *= 1.0 + settings.cutoff / height
    if images >= LIGHT_IMAGES or box_volume(crystal.lattice) > LIGHT_CUBES * settings.cutoff**3:
        return False
    if settings.n_neighbours is not None and settings.ties == "complete":
        return True
    # Unless they are few by number, all within the cutoff are looked at.
    return crystal.n_sites**2 / crystal.volume * 4 / 3 * pi * settings.cutoff**3 < LIGHT_EDGES
