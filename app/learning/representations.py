"""What a model reads of an input: a graph, or a row of a descriptor."""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from app.core.errors import ArtifactCorrupt
from app.learning.baselines.factory import read_settings
from app.learning.baselines.kernel_models import SoapKernelSettings
from app.learning.descriptors.catalogue import Descriptor
from app.learning.descriptors.soap import SoapSettings
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.elemnet import ElemNetSettings
from app.learning.networks.ensemble_settings import GRAPH, EnsembleSettings
from app.learning.networks.schnet import SchNetSettings
from app.registry.manifest import Architecture, InputKind, Manifest


@dataclass(frozen=True, slots=True)
class Described:
    """A row of a descriptor; `soap` are its settings where it is that one."""

    descriptor: Descriptor
    soap: SoapSettings | None = None

    @property
    def needs_structure(self) -> bool:
        return self.descriptor.needs_structure


@dataclass(frozen=True, slots=True)
class Composite:
    """Several of them at once, for an ensemble: a graph, descriptors, or both."""

    graph: GraphSettings | None
    descriptors: tuple[Descriptor, ...]

    @property
    def parts(self) -> "dict[str, GraphSettings | Described]":
        """By the names that an ensemble's settings use."""
        graphs: dict[str, GraphSettings | Described] = {} if self.graph is None else {GRAPH: self.graph}
        return graphs | {descriptor.value: Described(descriptor) for descriptor in self.descriptors}

    @property
    def needs_structure(self) -> bool:
        return self.graph is not None or any(descriptor.needs_structure for descriptor in self.descriptors)


Representation = GraphSettings | Described | Composite

ELEMENTAL_FRACTIONS = Described(Descriptor.ELEMENTAL_FRACTIONS)


def alone_in_ensemble(representation: Representation) -> Composite:
    """The one thing that all members of an ensemble read."""
    if isinstance(representation, GraphSettings):
        return Composite(representation, ())
    assert isinstance(representation, Described) and representation.soap is None
    return Composite(None, (representation.descriptor,))


def parts_of(representation: Representation) -> list[GraphSettings | Described]:
    """The single things that are read."""
    return list(representation.parts.values()) if isinstance(representation, Composite) else [representation]


def graph_of(representation: Representation) -> GraphSettings | None:
    """The graph among them."""
    return next((part for part in parts_of(representation) if isinstance(part, GraphSettings)), None)


def needs_structure(representation: Representation) -> bool:
    return isinstance(representation, GraphSettings) or representation.needs_structure


def representation_for(architecture: Architecture, network: dict[str, Any]) -> Representation:
    """What a network with these settings reads unless it is told otherwise. Raises pydantic.ValidationError."""
    if architecture is Architecture.CGCNN:
        return GraphSettings()
    if architecture is Architecture.SCHNET:
        return SchNetSettings.model_validate(network).graph_settings()
    if architecture is Architecture.ELEMNET:
        return Described(Descriptor(ElemNetSettings.model_validate(network).features))
    if architecture is Architecture.ELEMNET_REPRESENTATION:
        return ELEMENTAL_FRACTIONS
    if architecture is Architecture.ENSEMBLE:
        ensemble = EnsembleSettings.model_validate(network)
        return Composite(GraphSettings() if ensemble.reads_graph else None, ensemble.descriptors)
    settings = read_settings(network)
    return Described(settings.descriptor, settings.soap if isinstance(settings, SoapKernelSettings) else None)


def representation_of(manifest: Manifest) -> Representation:
    """What the model of a manifest reads. Raises ArtifactCorrupt."""
    has_graph = manifest.graph is not None
    try:
        found = representation_for(manifest.architecture, manifest.network)
        reads_graph = isinstance(found, GraphSettings) or (isinstance(found, Composite) and found.graph is not None)
        if reads_graph and has_graph:
            graph = GraphSettings.model_validate(manifest.graph)
            found = replace(found, graph=graph) if isinstance(found, Composite) else graph
    except ValidationError as error:
        raise ArtifactCorrupt(f"The network or graph settings of {manifest.name} cannot be read: {error}") from error
    if has_graph != reads_graph:
        raise ArtifactCorrupt(f"The manifest of {manifest.name} must have graph settings if it reads graphs, only.")
    if needs_structure(found) != (manifest.input_kind is InputKind.STRUCTURE):
        raise ArtifactCorrupt(f"The manifest of {manifest.name} names another input kind than its network reads.")
    return found
