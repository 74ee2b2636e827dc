"""Structure texts in, crystals and their graphs out, without torch: what pool processes and screening workers run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.errors import XtalforgeError
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.detect import StructureFormat
from app.structures.reader import read_structures

BuildGraph = Callable[[Crystal, GraphSettings], CrystalGraph]


@dataclass(frozen=True, slots=True)
class FeaturisedStructure:
    """One structure of a text: exactly one of `crystal` and `error` is set.

    `name` is the CIF block's (or the JSON object's id), `graphs` one graph or error for each of the settings asked
    for; empty when the structure itself cannot be used. Picklable.
    """

    name: str
    crystal: Crystal | None
    graphs: tuple[CrystalGraph | XtalforgeError, ...]
    error: XtalforgeError | None


@dataclass(frozen=True, slots=True)
class FeaturisedCrystal:
    """A crystal with the graphs that were made of it, or the reasons why there are none, by their settings."""

    crystal: Crystal
    graphs: Mapping[GraphSettings, CrystalGraph | XtalforgeError]


def featurise_text(
    text: str, fmt: StructureFormat | None, name: str, settings: Sequence[GraphSettings]
) -> list[FeaturisedStructure]:
    """Every structure of the text, at least one entry, in order, with one graph for each of `settings`.

    `fmt` None: recognised by file `name` and content. Never raises XtalforgeError: it is in the entry it belongs to.
    """
    return [
        FeaturisedStructure(block_name, None, (), error)
        if crystal is None
        else FeaturisedStructure(block_name, crystal, featurise_crystal(crystal, settings), None)
        for block_name, crystal, error in read_structures(text, fmt, name)
    ]


def featurise_crystal(
    crystal: Crystal, settings: Sequence[GraphSettings], build: BuildGraph = build_crystal_graph
) -> tuple[CrystalGraph | XtalforgeError, ...]:
    """One graph, or the reason why there is none, for each of `settings`."""
    return tuple(_graph(crystal, each, build) for each in settings)


def _graph(crystal: Crystal, settings: GraphSettings, build: BuildGraph) -> CrystalGraph | XtalforgeError:
    try:
        return build(crystal, settings)
    except XtalforgeError as error:
        return error
