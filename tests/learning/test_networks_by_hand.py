"""CGCNN and ElemNet against values worked out by hand; SchNet has a module of its own."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.core.errors import UnsupportedElement
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings, GatedConvolution, PlainConvolution, RadialBasis
from app.learning.networks.elemnet import ELEMNET_ELEMENTS, ElemNet17, ElemNetSettings, elemental_fractions

SETTINGS = CgcnnSettings(atom_feature_dim=1, n_conv=1, hidden_dim=2, cutoff=1.0, radial_step=1.0)
NODES = torch.tensor([[1.0], [3.0]])
RADIAL = torch.eye(2)
"""Of the edge to the first atom, and of the one to the second."""


def two_atoms(weight: float = 1.0) -> GraphBatch:
    """Two atoms that see each other once."""
    graph = CrystalGraph(
        atomic_numbers=np.array([1, 8], dtype=np.uint8),
        node_weights=np.array([0.25, 0.75], dtype=np.float32),
        edge_index=np.array([[0, 1], [1, 0]], dtype=np.int32),
        distances=np.full(2, 0.5, dtype=np.float32),
        edge_weights=np.full(2, weight, dtype=np.float32),
        n_sites=4,
    )
    return GraphBatch.collate([graph])


@torch.no_grad()
def fill(layer: nn.Module, weight: Sequence[Sequence[float]], bias: Sequence[float] | None = None) -> None:
    assert isinstance(layer, nn.Linear)
    layer.weight.copy_(torch.tensor(weight))
    if bias is not None:
        layer.bias.copy_(torch.tensor(bias))


def convolve(layer: GatedConvolution | PlainConvolution, weight: float = 1.0) -> list[float]:
    """New features of both atoms; nothing is normalised."""
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eps = 0.0
    with torch.no_grad():
        result: Tensor = layer.eval()(NODES, RADIAL, two_atoms(weight))
    return [float(value) for value in result[:, 0]]


def test_gated_convolution_is_equation_three() -> None:
    # First atom: sigmoid(0.5 * 1 - 0.5 * 3 + 1 + 0.25) * softplus(1 + 3) = 0.562177 * 4.018150 = 2.258909,
    # then softplus(1 + 2.258909). Second: sigmoid(3.25) * softplus(4 - 1) = 0.962673 * 3.048587 = 2.934793.
    layer = GatedConvolution(SETTINGS, 2)
    fill(layer.centre, [[0.5], [1.0]], [0.25, 0.0])
    fill(layer.neighbour, [[-0.5], [1.0]])
    fill(layer.edge, [[1.0, 2.0], [0.0, -1.0]])
    assert convolve(layer) == pytest.approx([3.296620, 5.937435], abs=2e-6)
    assert convolve(layer, weight=2.0)[0] == pytest.approx(5.521825, abs=2e-6)


def test_plain_convolution_is_equation_one() -> None:
    # First atom: silu(2 * 3 + 1 + 0.5 * 1 + 0.25) = silu(7.75); second: silu(2 * 1 - 1 + 0.5 * 3 + 0.25) = silu(2.75).
    layer = PlainConvolution(SETTINGS.model_copy(update={"activation": "silu"}), 2)
    fill(layer.centre, [[0.5]], [0.25])
    fill(layer.neighbour, [[2.0]])
    fill(layer.edge, [[1.0, -1.0]])
    assert convolve(layer) == pytest.approx([7.746663, 2.584762], abs=2e-6)
    assert convolve(layer, weight=2.0)[0] == pytest.approx(14.749994, abs=2e-6)


def test_gaussians_of_distances() -> None:
    values = RadialBasis(cutoff=8.0, step=0.2)(torch.tensor([0.3]))[0]
    assert values.shape == (41,)
    # exp(-(0.1 / 0.2)^2) on either side, exp(-(0.3 / 0.2)^2) at 0.
    assert [float(v) for v in values[:4]] == pytest.approx([0.105399, 0.778801, 0.778801, 0.105399], abs=1e-6)


def test_crystals_are_means_over_atoms_that_layers_read() -> None:
    # Equation 4: 0.25 * 1 + 0.75 * 3 = 2.5; equation 5: softplus(2.5) = 2.578890, then
    # softplus(2.578890 - 1) = 1.766368 and softplus(-2.578890) = 0.073119, and 2 * 1.766368 - 0.073119 + 0.5.
    network = Cgcnn(SETTINGS).eval()
    (hidden,) = network.hidden
    fill(hidden, [[1.0], [-1.0]], [-1.0, 0.0])
    fill(network.output, [[2.0, -1.0]], [0.5])
    network.convolutions = nn.ModuleList()
    network.embedded = lambda batch: NODES  # type: ignore[method-assign]
    with torch.no_grad():
        assert float(network.embed(two_atoms())) == pytest.approx(2.5)
        assert float(network(two_atoms())) == pytest.approx(3.959617, abs=2e-6)


def test_elemnet_has_seventeen_layers_of_the_papers_widths() -> None:
    network = ElemNet17(ElemNetSettings())
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    widths = [1024] * 4 + [512] * 3 + [256] * 3 + [128] * 3 + [64] * 2 + [32, 1]
    assert len(layers) == 17
    assert [layer.out_features for layer in layers] == widths
    assert [layer.in_features for layer in layers] == [86, *widths[:-1]]


def test_elemnet_by_hand() -> None:
    # relu(1 - 2 + 0.5, 3 * 1 + 2) = (0, 5); relu(0 - 5 + 7) = 2; 2 * -3 + 1.
    network = ElemNet17(ElemNetSettings(n_features=2, widths=(2, 1)))
    first, second = network.hidden
    fill(first, [[1.0, -1.0], [3.0, 1.0]], [0.5, 0.0])
    fill(second, [[1.0, -1.0]], [7.0])
    fill(network.output, [[-3.0]], [1.0])
    with torch.no_grad():
        assert float(network(torch.tensor([[1.0, 2.0]]))) == -5.0


def test_columns_of_elemnet_are_fractions_of_its_elements() -> None:
    fractions = np.zeros(119)
    fractions[[1, 8]] = 2 / 3, 1 / 3
    columns = elemental_fractions(fractions)
    assert columns.shape == (86,)
    assert dict(zip(ELEMNET_ELEMENTS, columns, strict=True))["O"] == pytest.approx(1 / 3)
    assert columns.sum() == pytest.approx(1.0)
    fractions[2] = 0.1
    with pytest.raises(UnsupportedElement, match="He"):
        elemental_fractions(fractions)
