"""Transfer methods as what they are: which weights come from the base model and which of them may change."""

from typing import Any, Literal

import torch
from torch import nn

from app.core.errors import InvalidJob
from app.learning.checkpoints import load_network
from app.learning.descriptors.catalogue import VECTOR_NAMES, Descriptor
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method, architecture_from, method_info
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.elemnet import ElemNet17
from app.learning.networks.factory import build_network
from app.learning.networks.representation import RepresentationElemNet
from app.learning.networks.schnet import Part, SchNet
from app.learning.recipes import CGCNN_NETWORK
from app.registry.manifest import Architecture, Manifest, PropertyRecord

Base = tuple[Manifest, bytes]

SCHNET_SMALL = {"n_interactions": 4, "n_atom_basis": 30, "n_filters": 30}
"""Arch 2 of Krawczuk & Venturi 2020; arch 1 are the defaults of the network."""

_FROZEN_PARTS: dict[Method, tuple[Part, ...]] = {
    Method.TL1: (),
    Method.TL2: ("embedding",),
    Method.TL3: ("embedding", "interactions"),
}
_FEATURES: dict[Method, Literal["relu", "dense"]] = {
    Method.RL_RELU: "relu",
    Method.TLRL_RELU: "relu",
    Method.RL_DENSE: "dense",
    Method.TLRL_DENSE: "dense",
}
NEW_HEAD = (Method.RL_RELU, Method.RL_DENSE)
"""Methods that take nothing of the source but its features."""


def initial_network(
    architecture: Architecture,
    method: Method,
    hyperparameters: Hyperparameters,
    base: Base | None,
    target: PropertyRecord,
) -> nn.Module:
    """The network a run starts from, with `requires_grad` set as the method wants it.

    The output layer starts anew unless `keeps_output`. So does a fully connected layer of another width.
    Raises InvalidJob when the method needs a base model and there is none, or one of another architecture.
    """
    if not method_info(method).needs_base:
        return build_network(architecture, network_settings(architecture, hyperparameters))
    if base is None:
        raise InvalidJob(f"Method {method.value!r} needs a base model.")
    manifest, weights = base
    if architecture_from(method, manifest.architecture) is not architecture:
        raise InvalidJob(f"{manifest.name} is a {manifest.architecture.value} model, not {architecture.value}.")
    source = load_network(manifest, weights, torch.device("cpu"))
    keep_output = keeps_output(method, target, hyperparameters, manifest)
    if isinstance(source, ElemNet17) and method in _FEATURES:
        return _on_representation(source, method, hyperparameters, keep_output)
    replaced = {"hidden_dim": hyperparameters.hidden_dim} if isinstance(source, Cgcnn) else {}
    network = build_network(architecture, {**manifest.network, **replaced})
    _copy(source, network, (), () if keep_output else ("output.",))
    _freeze(network, method, hyperparameters)
    return network


def keeps_output(
    method: Method, target: PropertyRecord, hyperparameters: Hyperparameters, base: Manifest | None
) -> bool:
    """Whether the base model's output layer answers on the target's scale: the same property, learned the same way."""
    if base is None or method in NEW_HEAD:
        return False
    same = (base.property.key, base.property.unit, base.property.transform) == (
        target.key,
        target.unit,
        target.transform,
    )
    return same and base.scaling.kind == hyperparameters.scaling


def network_settings(architecture: Architecture, hyperparameters: Hyperparameters) -> dict[str, Any]:
    """Shape of a network that starts from nothing: the paper's, or the one of the shipped models."""
    if architecture is Architecture.CGCNN:
        shape = {} if hyperparameters.preset == "paper" else dict(CGCNN_NETWORK)
        if hyperparameters.network == "cgcnn-plain":
            shape["convolution"] = "plain"
        return {**shape, "hidden_dim": hyperparameters.hidden_dim}
    if architecture is Architecture.SCHNET:
        return dict(SCHNET_SMALL) if hyperparameters.network == "schnet-2" else {}
    if hyperparameters.features == "physical_attributes":
        n_features = len(VECTOR_NAMES[Descriptor.PHYSICAL_ATTRIBUTES])
        return {"features": hyperparameters.features, "n_features": n_features}
    return {}


def _on_representation(
    source: ElemNet17, method: Method, hyperparameters: Hyperparameters, keep_output: bool
) -> RepresentationElemNet:
    """A network on a layer of the source; its own second to last layers are the source's where the method says so."""
    if source.settings.features != "elemental_fractions":
        raise InvalidJob(f"Method {method.value!r} needs a base model that reads elemental fractions.")
    layer = hyperparameters.layer
    assert isinstance(layer, int)
    if layer > len(source.hidden):
        raise InvalidJob(f"layer is {layer}, but the base model has {len(source.hidden)} hidden layers.")
    network = RepresentationElemNet.on(source, layer, _FEATURES[method])
    if method not in NEW_HEAD:
        _copy(source, network.head, ("hidden.0.",), () if keep_output else ("output.",))
    return network


def _copy(source: nn.Module, network: nn.Module, *left_out: tuple[str, ...]) -> None:
    """Weights of the source into those of the same name and shape, but for names that begin so."""
    own = network.state_dict()
    names = tuple(name for group in left_out for name in group)
    found = source.state_dict()
    kept = {k: v for k, v in found.items() if k in own and v.shape == own[k].shape and not k.startswith(names)}
    network.load_state_dict({**own, **kept})


def _freeze(network: nn.Module, method: Method, hyperparameters: Hyperparameters) -> None:
    if method is Method.FINE_TUNE:
        return
    if isinstance(network, SchNet):
        network.freeze(*_FROZEN_PARTS[method])
        return
    frozen: list[nn.Module] = []
    if isinstance(network, ElemNet17):
        frozen = [network.hidden]
    elif isinstance(network, Cgcnn):
        n_convolutions = len(network.convolutions)
        n_frozen = n_convolutions if method is Method.FREEZE else hyperparameters.frozen_convolutions or 0
        if n_frozen > n_convolutions:
            raise InvalidJob(
                f"frozen_convolutions is {n_frozen}, but the base model has {n_convolutions} convolutions."
            )
        frozen = [network.embedding, *list(network.convolutions)[:n_frozen]]
    for module in frozen:
        module.requires_grad_(requires_grad=False)
