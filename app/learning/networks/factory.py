"""Networks by the names that manifests use."""

from typing import Any

from torch import nn

from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.registry.manifest import Architecture


def build_network(architecture: Architecture, settings: dict[str, Any]) -> nn.Module:
    """A network with random weights. Raises pydantic.ValidationError for settings it does not know."""
    if architecture is Architecture.CGCNN:
        return Cgcnn(CgcnnSettings.model_validate(settings))
    return ElemNet17(ElemNetSettings.model_validate(settings))
