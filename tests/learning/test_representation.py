"""Representation learning: features of the source's layers, before and after ReLU, and a head of its own."""

from typing import Literal

import numpy as np
import pytest
import torch

from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.representation import RepresentationElemNet, RepresentationSettings

SHAPE = ElemNetSettings(n_features=3, widths=(4, 4, 2))


def source() -> ElemNet17:
    torch.manual_seed(1)
    return ElemNet17(SHAPE)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_features_are_what_the_layer_gives(layer: int) -> None:
    net, inputs = source(), torch.randn(5, 3)
    by_hand = inputs
    for index in range(layer):
        dense = by_hand @ net.hidden[index].weight.T + net.hidden[index].bias
        by_hand = dense.clamp(min=0)
    torch.testing.assert_close(RepresentationElemNet.on(net, layer, "dense").represent(inputs), dense)
    torch.testing.assert_close(RepresentationElemNet.on(net, layer, "relu").represent(inputs), by_hand)


def test_dense_features_keep_what_relu_drops() -> None:
    features = RepresentationElemNet.on(source(), 1, "dense").represent(torch.randn(50, 3))
    assert bool((features < 0).any())


def test_the_head_has_the_shape_of_the_source_and_learns_alone() -> None:
    net = RepresentationElemNet.on(source(), 2, "relu")
    assert [tuple(layer.weight.shape) for layer in net.head.hidden] == [(4, 4), (4, 4), (2, 4)]
    net(torch.randn(4, 3)).sum().backward()
    assert all(p.grad is None for p in net.source.parameters())
    assert all(p.grad is not None for p in net.head.parameters())


def test_settings_and_weights_rebuild_it() -> None:
    net, inputs = RepresentationElemNet.on(source(), 2, "dense"), torch.randn(4, 3)
    again = RepresentationElemNet(RepresentationSettings.model_validate(net.settings.model_dump(mode="json")))
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(inputs), net(inputs))


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="1 to 3, not 4"):
        RepresentationElemNet.on(source(), 4, "relu")


@pytest.mark.parametrize("features", ["relu", "dense"])
def test_the_head_of_a_transfer_can_start_with_the_sources_answers(features: Literal["relu", "dense"]) -> None:
    net, inputs = source(), torch.randn(40, 3)
    new = RepresentationElemNet.on(net, 1, features)
    later = {name: value for name, value in net.state_dict().items() if not name.startswith("hidden.0")}
    new.head.load_state_dict({**new.head.state_dict(), **later})
    assert not torch.allclose(new(inputs), net(inputs), atol=1e-2)
    new.recall_first_layer(inputs)
    by_hand = np.linalg.lstsq(
        np.column_stack([new.represent(inputs).detach().numpy(), np.ones(40)]),
        (inputs @ net.hidden[0].weight.T + net.hidden[0].bias).detach().numpy(),
        rcond=None,
    )[0]
    first = new.head.hidden[0]
    np.testing.assert_allclose(
        new.represent(inputs).detach().numpy() @ by_hand[:-1] + by_hand[-1],
        first(new.represent(inputs)).detach().numpy(),
        atol=1e-3,
    )
    if features == "dense":
        torch.testing.assert_close(new(inputs), net(inputs), atol=1e-3, rtol=1e-3)


def test_training_on_kept_features_is_training_of_the_whole() -> None:
    """What follows the fixed layers shares its weights with the network, and gives its answers."""
    inputs = torch.randn(6, 3)
    frozen = source()
    assert not frozen.has_fixed_representation
    frozen.hidden.requires_grad_(requires_grad=False)
    for network in (frozen, RepresentationElemNet.on(source(), 2, "dense")):
        assert network.has_fixed_representation
        assert network.represent(inputs).shape == (6, network.representation_dim)
        after = network.after_representation()
        assert torch.equal(after(network.represent(inputs)), network(inputs))
        with torch.no_grad():
            next(after.parameters()).mul_(2.0)
        assert torch.equal(after(network.represent(inputs)), network(inputs))


def test_dropout_leaves_no_fixed_representation() -> None:
    network = ElemNet17(SHAPE.model_copy(update={"dropout": 0.5}))
    network.hidden.requires_grad_(requires_grad=False)
    assert not network.has_fixed_representation
