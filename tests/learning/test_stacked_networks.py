"""A stack of networks answers as each of them would alone; what cannot be stacked is refused with the reason."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.packed import PackedGraphs
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.cgcnn import Cgcnn, CgcnnSettings
from app.learning.networks.elemnet import ElemNet17, ElemNetSettings
from app.learning.networks.stacked import NotStackable, StackedEnsemble, StackedWeights
from app.learning.networks.stacked_batch import Rows, StackedGraphBatch
from app.learning.networks.stacked_layers import BatchNorms
from app.learning.samples import GraphSamples, VectorSamples
from app.learning.training import stacked_samples
from app.learning.training.stacked_samples import StackedSamples, within_budget
from tests.crystals import bcc, fcc, hcp, perovskite, rocksalt, zincblende

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
    ),
]
CPU = torch.device("cpu")
CRYSTALS = [
    rocksalt(5.6, "Na", "Cl"),
    fcc(3.6, "Cu"),
    perovskite(3.9, "Sr", "Ti", "O"),
    hcp(3.2, 5.2, "Mg"),
    zincblende(5.4, "Zn", "S"),
    bcc(2.9, "Fe"),
]


def packed() -> PackedGraphs:
    settings = GraphSettings(merge_equivalent=False)
    return PackedGraphs.pack([build_crystal_graph(crystal, settings) for crystal in CRYSTALS])


def cgcnns(n: int, **settings: object) -> list[nn.Module]:
    """Networks whose batch normalisations have something to say."""
    torch.manual_seed(0)
    networks: list[nn.Module] = []
    for _ in range(n):
        network = Cgcnn(CgcnnSettings.model_validate({"atom_feature_dim": 8, "hidden_dim": 6, **settings}))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
        networks.append(network.eval())
    return networks


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("settings", [{}, {"activation": "silu", "n_hidden": 2}, {"convolution": "plain", "n_conv": 1}])
def test_an_ensemble_answers_as_its_members_do(settings: dict[str, object], device: str) -> None:
    where = torch.device(device)
    networks = [network.to(where) for network in cgcnns(4, **settings)]
    batch = GraphBatch.from_packed(packed()).to(where)
    with torch.inference_mode():
        wanted = torch.stack([network(batch) for network in networks])
    answers = StackedEnsemble(networks).forward(batch)
    assert answers.shape == (4, len(CRYSTALS))
    torch.testing.assert_close(answers, wanted, rtol=1e-5, atol=1e-5)


def test_an_ensemble_of_composition_networks_too() -> None:
    torch.manual_seed(0)
    networks = [ElemNet17(ElemNetSettings(widths=(16, 16, 8))).eval() for _ in range(3)]
    fractions = torch.rand(5, 86)
    with torch.inference_mode():
        wanted = torch.stack([network(fractions) for network in networks])
    torch.testing.assert_close(StackedEnsemble(networks).forward(fractions), wanted)


def test_an_ensemble_keeps_its_weights_when_the_networks_train_on() -> None:
    networks = cgcnns(2)
    ensemble, batch = StackedEnsemble(networks), GraphBatch.from_packed(packed())
    before = ensemble.forward(batch)
    for network in networks:
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
    assert torch.equal(ensemble.forward(batch), before)


def _frozen(network: nn.Module) -> nn.Module:
    assert isinstance(network, Cgcnn)
    network.embedding.requires_grad_(False)
    return network


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ([], "no network"),
        ([nn.Linear(2, 1)], "Linear networks cannot"),
        ([*cgcnns(1), *cgcnns(1, hidden_dim=7)], "Network 1 is built otherwise"),
        ([*cgcnns(2), _frozen(cgcnns(1)[0])], "Network 2 trains other weights"),
        ([ElemNet17(ElemNetSettings(widths=(4,), dropout=0.1))], "dropout is 0.1, 0 is needed"),
    ],
)
def test_what_cannot_be_stacked_is_refused(networks: list[nn.Module], words: str) -> None:
    with pytest.raises(NotStackable, match=words):
        StackedEnsemble(networks)


def test_another_batch_normalisation_is_refused() -> None:
    (network,) = cgcnns(1)
    assert isinstance(network, Cgcnn)
    network.convolutions[0].get_submodule("norm_update").momentum = 0.2  # type: ignore[assignment]
    with pytest.raises(NotStackable, match="norm_update has another eps or momentum"):
        StackedEnsemble([network])


def test_weights_come_back_out_of_a_stack_as_they_went_in() -> None:
    networks = cgcnns(3)
    for network in networks:
        _frozen(network)
    stack = StackedWeights.of(networks, CPU)
    assert set(stack.frozen) == {"embedding.weight", "embedding.bias"}
    for row, network in enumerate(networks):
        state = stack.state_dict(row)
        assert {name: v.shape for name, v in state.items()} == {n: v.shape for n, v in network.state_dict().items()}
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    swapped = stack.select(torch.tensor([2, 0]))
    assert torch.equal(swapped.state_dict(0)["output.weight"], networks[2].state_dict()["output.weight"])
    assert torch.equal(swapped.state_dict(1)["embedding.bias"], networks[0].state_dict()["embedding.bias"])


def test_batch_normalisation_of_padded_rows_is_that_of_the_real_ones() -> None:
    torch.manual_seed(0)
    sizes, width, channels = (7, 4), 9, 3
    layers = [nn.BatchNorm1d(channels).double() for _ in sizes]
    for layer in layers:
        nn.init.uniform_(layer.weight)
        nn.init.normal_(layer.bias)
    mask = (torch.arange(width) < torch.tensor(sizes)[:, None]).double()[:, :, None]
    weights = {f"norm.{n}": torch.stack([layer.state_dict()[n] for layer in layers]) for n in ("weight", "bias")}
    buffers = {
        f"norm.{n}": torch.stack([layer.state_dict()[n] for layer in layers])
        for n in ("running_mean", "running_var", "num_batches_tracked")
    }
    norms = BatchNorms(weights, buffers, frozenset())
    counts = mask.sum(1, keepdim=True)
    rows = Rows(mask, counts, (counts / (counts - 1))[:, 0])

    def normalised(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        norms.weights = {"norm.weight": weight, "norm.bias": bias}
        return norms("norm", values, rows) * mask

    values = (torch.randn(len(sizes), width, channels, dtype=torch.float64) + 3.0).requires_grad_()
    got = normalised(values, weights["norm.weight"], weights["norm.bias"])
    norms.move_running()
    for row, (size, layer) in enumerate(zip(sizes, layers, strict=True)):
        torch.testing.assert_close(got[row, :size], layer(values[row, :size]))
        for name, value in layer.state_dict().items():
            if name not in ("weight", "bias"):
                torch.testing.assert_close(buffers[f"norm.{name}"][row], value)
    inputs = (values, *(w.requires_grad_() for w in weights.values()))
    assert torch.autograd.gradcheck(normalised, inputs)


@pytest.mark.parametrize("budget", [1, 100, 10**6])
@pytest.mark.parametrize("device", DEVICES)
def test_batches_of_a_stack_hold_each_members_own_rows(
    device: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stacked_samples, "_ASSEMBLED_EDGES", budget)
    whole = GraphSamples(packed())
    few = whole.take(np.array([4, 1, 2]))
    samples = StackedSamples([whole, few, whole], torch.device(device))
    assert samples.first.tolist() == [0, 6, 0]
    own = np.array([[[0, 2, 5], [0, 2, -1], [3, -1, -1]], [[1, 3, 4], [-1, -1, -1], [2, 3, 5]]])
    rows = np.where(own < 0, own, own + samples.first[:, None])
    batches = list(samples.batches(rows))
    assert len(batches) == 2
    for step, batch in enumerate(batches):
        assert isinstance(batch, StackedGraphBatch)
        for member, source in enumerate((whole, few, whole)):
            chosen = own[step, member][own[step, member] >= 0]
            _assert_holds(batch, member, source.batch(chosen, CPU))


def _assert_holds(stacked: StackedGraphBatch, member: int, wanted: GraphBatch) -> None:
    """The member's share, without its padding, is the batch a single network would get."""
    k, b = stacked.n_members, stacked.n_crystals
    n_nodes, n_edges = len(wanted.atomic_numbers), len(wanted.distances)
    assert stacked.node_rows is not None and stacked.edge_rows is not None
    for rows, n in ((stacked.node_rows, n_nodes), (stacked.edge_rows, n_edges)):
        assert rows.counts[member].item() == max(n, 1)
        assert rows.mask[member, :, 0].tolist() == [1.0] * n + [0.0] * (rows.mask.shape[1] - n)
        assert rows.bessel[member].item() == pytest.approx(n / max(n - 1, 1))
    width = stacked.node_rows.mask.shape[1]

    def own(values: Tensor, n: int, base: int) -> Tensor:
        return values.view(k, -1)[member, :n].cpu() - base

    assert torch.equal(own(stacked.element, n_nodes, member * 101), wanted.atomic_numbers)
    assert torch.equal(own(stacked.crystal, n_nodes, member * b), wanted.crystal_index)
    assert torch.equal(own(stacked.node_weights, n_nodes, 0), wanted.node_weights)
    assert torch.equal(own(stacked.centre, n_edges, member * width), wanted.centre)
    assert torch.equal(own(stacked.neighbour, n_edges, member * width), wanted.neighbour)
    assert torch.equal(own(stacked.distances, n_edges, 0), wanted.distances)
    assert torch.equal(own(stacked.edge_weights, n_edges, 0), wanted.edge_weights)
    assert stacked.edge_weights[member, n_edges:].abs().sum() == 0
    assert stacked.node_weights[member, n_nodes:].abs().sum() == 0


def test_samples_of_two_kinds_are_refused() -> None:
    with pytest.raises(NotStackable, match="all graphs or all vectors"):
        StackedSamples([GraphSamples(packed()), VectorSamples(np.zeros((2, 86), dtype=np.float32))], CPU)


def test_parts_within_a_budget() -> None:
    costs = np.array([3, 3, 3, 50, 1, 0, 0, 2])
    parts = within_budget(costs, 6)
    assert [part.tolist() for part in parts] == [[0, 1], [2, 3], [4], [5, 6, 7]]
    assert all(costs[part[:-1]].sum() <= 6 for part in parts)
    assert within_budget(np.zeros(0, dtype=np.int64), 6) == []
