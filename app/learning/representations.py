"""What a model reads of an input: a graph, or a row of a descriptor."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.core.errors import ArtifactCorrupt
from app.learning.baselines.factory import read_settings
from app.learning.baselines.kernel_models import SoapKernelSettings
from app.learning.descriptors.catalogue import Descriptor
from app.learning.descriptors.soap import SoapSettings
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.elemnet import ElemNetSettings
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


Representation = GraphSettings | Described

ELEMENTAL_FRACTIONS = Described(Descriptor.ELEMENTAL_FRACTIONS)


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
    settings = read_settings(network)
    return Described(settings.descriptor, settings.soap if isinstance(settings, SoapKernelSettings) else None)


def representation_of(manifest: Manifest) -> Representation:
    """What the model of a manifest reads. Raises ArtifactCorrupt."""
    has_graph = manifest.graph is not None
    reads_graph = manifest.architecture in (Architecture.CGCNN, Architecture.SCHNET)
    try:
        if reads_graph and has_graph:
            found: Representation = GraphSettings.model_validate(manifest.graph)
        else:
            found = representation_for(manifest.architecture, manifest.network)
    except ValidationError as error:
        raise ArtifactCorrupt(f"The network or graph settings of {manifest.name} cannot be read: {error}") from error
    if has_graph != reads_graph:
        raise ArtifactCorrupt(f"The manifest of {manifest.name} must have graph settings if it reads graphs, only.")
    if needs_structure(found) != (manifest.input_kind is InputKind.STRUCTURE):
        raise ArtifactCorrupt(f"The manifest of {manifest.name} names another input kind than its network reads.")
    return found
