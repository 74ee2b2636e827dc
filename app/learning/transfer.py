"""Transfer methods as what they are: which weights come from the base model and which of them may change."""

import torch
from torch import nn

from app.core.errors import InvalidJob
from app.learning.checkpoints import load_network
from app.learning.methods import Hyperparameters, Method
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.factory import build_network
from app.learning.recipes import CGCNN_NETWORK
from app.registry.manifest import Architecture, Manifest, PropertyRecord


def initial_network(
    architecture: Architecture,
    method: Method,
    hyperparameters: Hyperparameters,
    base: tuple[Manifest, bytes] | None,
    target: PropertyRecord,
) -> nn.Module:
    """The network a run starts from, with `requires_grad` set as the method wants it.

    The output layer starts anew unless `keeps_output`. So does a fully connected layer of another width.
    Raises InvalidJob when the method needs a base model and there is none, or one of another architecture.
    """
    settings = _settings(architecture, hyperparameters)
    if method is Method.SCRATCH:
        return build_network(architecture, settings)
    if base is None:
        raise InvalidJob(f"Method {method.value!r} needs a base model.")
    manifest, weights = base
    if manifest.architecture is not architecture:
        raise InvalidJob(f"{manifest.name} is a {manifest.architecture.value} model, not {architecture.value}.")
    network = build_network(architecture, {**manifest.network, **_replaced(settings)})
    source = load_network(manifest, weights, torch.device("cpu")).state_dict()
    own = network.state_dict()
    new = () if keeps_output(target, hyperparameters, manifest) else ("output.",)
    kept = {k: v for k, v in source.items() if v.shape == own[k].shape and not k.startswith(new)}
    network.load_state_dict({**own, **kept})
    _freeze(network, method, hyperparameters)
    return network


def keeps_output(target: PropertyRecord, hyperparameters: Hyperparameters, base: Manifest) -> bool:
    """Whether the base model answers on the target's scale already: the same property, learned the same way."""
    same = (base.property.key, base.property.unit, base.property.transform) == (
        target.key,
        target.unit,
        target.transform,
    )
    return same and base.scaling.kind == hyperparameters.scaling


def _settings(architecture: Architecture, hyperparameters: Hyperparameters) -> dict[str, object]:
    """Shape of a network that starts from nothing: the paper's, or the one of the shipped models."""
    if architecture is not Architecture.CGCNN:
        return {}
    shape = {} if hyperparameters.preset == "paper" else CGCNN_NETWORK
    return {**shape, "hidden_dim": hyperparameters.hidden_dim}


def _replaced(settings: dict[str, object]) -> dict[str, object]:
    """What a transfer may change of the base model's shape: the width of its head."""
    return {k: v for k, v in settings.items() if k == "hidden_dim"}


def _freeze(network: nn.Module, method: Method, hyperparameters: Hyperparameters) -> None:
    if method is Method.FINE_TUNE:
        return
    if not isinstance(network, Cgcnn):
        raise InvalidJob(f"Method {method.value!r} is offered for CGCNN models only.")
    frozen: list[nn.Module] = [network.embedding]
    if method is Method.FREEZE:
        frozen += list(network.convolutions)
    else:
        n_frozen = hyperparameters.frozen_convolutions or 0
        if n_frozen > len(network.convolutions):
            raise InvalidJob(
                f"frozen_convolutions is {n_frozen}, but the base model has {len(network.convolutions)} convolutions."
            )
        frozen += list(network.convolutions)[:n_frozen]
    for module in frozen:
        module.requires_grad_(False)
