"""Networks by the names that manifests use."""

from typing import Any

from torch import nn

from app.learning.baselines.factory import build_baseline
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.cgcnn_inference import InferenceCgcnn
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import EnsembleSettings
from app.learning.networks.representation import RepresentationElemNet, RepresentationSettings
from app.learning.networks.schnet import InferenceSchNet, SchNet, SchNetSettings
from app.registry.manifest import Architecture


def build_network(architecture: Architecture, settings: dict[str, Any]) -> nn.Module:
    """A network with random weights. Raises pydantic.ValidationError for settings it does not know."""
    if architecture is Architecture.CGCNN:
        return Cgcnn(CgcnnSettings.model_validate(settings))
    if architecture is Architecture.SCHNET:
        return SchNet(SchNetSettings.model_validate(settings))
    if architecture is Architecture.ELEMNET:
        return ElemNet17(ElemNetSettings.model_validate(settings))
    if architecture is Architecture.ELEMNET_REPRESENTATION:
        return RepresentationElemNet(RepresentationSettings.model_validate(settings))
    if architecture is Architecture.ENSEMBLE:
        ensemble = EnsembleSettings.model_validate(settings)
        return EnsembleNetwork(
            ensemble,
            [build_network(entry.architecture, entry.network) for entry in ensemble.sources],
            [build_network(entry.architecture, entry.network) for entry in ensemble.members],
        )
    return build_baseline(settings)


def inference_form(network: nn.Module) -> nn.Module:
    """The fastest module that gives the predictions of a trained network; itself where there is none faster."""
    network.eval()
    if isinstance(network, Cgcnn) and network.settings.convolution == "gated":
        return InferenceCgcnn(network).eval()
    if isinstance(network, SchNet):
        return InferenceSchNet(network).eval()
    if isinstance(network, EnsembleNetwork):
        members, sources = (map(inference_form, part) for part in (network.members, network.sources))
        return EnsembleNetwork(network.settings, list(sources), list(members)).eval()
    return network
