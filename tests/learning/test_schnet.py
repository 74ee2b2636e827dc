"""SchNet against values worked out by hand and against its equations written out, and what must not change it."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from app.core.errors import IsolatedAtom, StructureTooLarge
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.neighbours import find_neighbours
from app.learning.graphs.settings import GraphSettings
from app.learning.networks.schnet import (
    InferenceSchNet,
    Interaction,
    Part,
    SchNet,
    SchNetSettings,
    gaussians,
    shifted_softplus,
)
from app.learning.networks.schnet_pairs import Grid, Pairs
from app.structures.crystal import Crystal
from tests.crystals import COMPOUNDS, other_cell, permuted, rotated, supercell, translated
from tests.learning.strategies import crystals

TOLERANCE = 1e-5
SMALL = SchNetSettings(n_atom_basis=16, n_filters=12, n_interactions=3)
RADIUS = SMALL.graph_settings()
UNMERGED = RADIUS.model_copy(update={"merge_equivalent": False})


def network(**changes: object) -> SchNet:
    torch.manual_seed(5)
    net = SchNet(SMALL.model_copy(update=changes))
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.3, 0.3)
    return net.eval()


MEAN, SUM = network(), network(readout="sum", atom_scale=0.7, atom_shift=-1.3)


def predict(crystal: Crystal, net: nn.Module = MEAN, graph: GraphSettings = RADIUS) -> float:
    with torch.inference_mode():
        return float(net(GraphBatch.collate([build_crystal_graph(crystal, graph)]))[0])


def two_atoms(distance: float, weight: float = 1.0) -> GraphBatch:
    """H and O that see each other once."""
    graph = CrystalGraph(
        atomic_numbers=np.array([1, 8], dtype=np.uint8),
        node_weights=np.full(2, 0.5, dtype=np.float32),
        edge_index=np.array([[0, 1], [1, 0]], dtype=np.int32),
        distances=np.full(2, distance, dtype=np.float32),
        edge_weights=np.full(2, weight, dtype=np.float32),
        n_sites=2,
    )
    return GraphBatch.collate([graph])


def brute_force(crystal: Crystal, cutoff: float) -> list[list[tuple[int, float]]]:
    """Neighbour and distance of all images within the cutoff, for each site."""
    inverse_heights = np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    reach = np.ceil(cutoff * inverse_heights).astype(int) + 1
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    places = crystal.fractional_coordinates % 1.0
    found: list[list[tuple[int, float]]] = []
    for place in places:
        lengths = np.linalg.norm((places[None] + shifts[:, None] - place) @ crystal.lattice, axis=2)
        near = np.argwhere((lengths <= cutoff) & (lengths > 1e-6))
        found.append([(int(j), float(lengths[s, j])) for s, j in near])
    return found


def written_out(net: SchNet, crystal: Crystal) -> float:
    """Equations 15 to 21, one atom and one neighbour at a time, filters at the very distance."""
    s = net.settings
    neighbours = brute_force(crystal, s.cutoff)
    x = [net.embedding.weight[int(z)].double() for z in crystal.atomic_numbers]
    for module in net.interactions:
        assert isinstance(module, Interaction)
        interaction = module.double()
        projected = [interaction.inward(v) for v in x]
        updates = []
        for site in neighbours:
            total = torch.zeros(s.n_filters, dtype=torch.float64)
            for j, d in site:
                expanded = gaussians(torch.tensor([d], dtype=torch.float64), s)[0]
                fade = 0.5 * (np.cos(np.pi * d / s.cutoff) + 1.0)
                total += projected[j] * interaction.filter(expanded) * fade
            updates.append(interaction.outward(total))
        x = [v + u for v, u in zip(x, updates, strict=True)]
    outputs = [float(net.output.double()(v)) * s.atom_scale + s.atom_shift for v in x]
    return float(np.sum(outputs) if s.readout == "sum" else np.mean(outputs))


@torch.no_grad()
def hand_made() -> SchNet:
    """Two features, identity layers, a filter of (1, 2) at every distance."""
    net = SchNet(SchNetSettings(n_atom_basis=2, n_filters=2, n_interactions=1))
    net.embedding.weight[1] = torch.tensor([1.0, 0.0])
    net.embedding.weight[8] = torch.tensor([3.0, -1.0])
    for module in net.modules():
        if isinstance(module, nn.Linear) and module.weight.shape == (2, 2):
            module.weight.copy_(torch.eye(2))
    (interaction,) = net.interactions
    assert isinstance(interaction, Interaction)
    last = interaction.filter[2]
    assert isinstance(last, nn.Linear)
    last.weight.zero_()
    last.bias.copy_(torch.tensor([1.0, 2.0]))
    return net


def test_one_interaction_by_hand() -> None:
    # Half way to the cutoff the cosine is 1/2, so H receives (3, -1) * (1, 2) / 2 = (1.5, -1), O receives (0.5, 0).
    # ssp(1.5) = 1.008266, ssp(-1) = -0.379885, ssp(0.5) = 0.280930.
    net = hand_made()
    with torch.no_grad():
        nodes = net.nodes(two_atoms(2.5), net.filters())
        twice = net.nodes(two_atoms(2.5, weight=2.0), net.filters())
    expected = torch.tensor([[1.0 + 1.008266, -0.379885], [3.0 + 0.280930, -1.0]])
    torch.testing.assert_close(nodes, expected, atol=2e-6, rtol=0.0)
    torch.testing.assert_close(twice[0], torch.tensor([1.0 + 2.355441, -0.566219]), atol=2e-6, rtol=0.0)


def test_no_neighbour_beyond_the_cutoff_has_an_effect() -> None:
    net = hand_made()
    with torch.no_grad():
        torch.testing.assert_close(net.nodes(two_atoms(5.5), net.filters())[0], torch.tensor([1.0, 0.0]))
    hard = network(cutoff_function="none")
    with torch.no_grad():
        inside, outside, far = (float(hard(two_atoms(d))) for d in (4.99, 5.5, 9.0))
    assert outside == far
    assert abs(outside - inside) > 1e-3


def test_gaussians_and_activation_by_hand() -> None:
    values = gaussians(torch.tensor([0.25]), SchNetSettings())[0]
    assert values[2] == pytest.approx(np.exp(-10 * 0.05**2))
    assert values[10] == pytest.approx(np.exp(-10 * 0.75**2), rel=1e-5)
    assert values[30] == 0.0
    torch.testing.assert_close(
        shifted_softplus(torch.tensor([0.0, 2.0, 90.0])), torch.tensor([0.0, 1.433781, 89.306853])
    )


def test_only_gaussians_felt_within_the_cutoff_are_kept() -> None:
    everywhere = torch.linspace(0.0, 5.0, 501)
    kept = gaussians(everywhere, SchNetSettings()).shape[1]
    assert 60 < kept < 70
    beyond = torch.exp(-10 * (5.0 - 0.1 * torch.tensor(float(kept))) ** 2)
    assert beyond < 1e-9
    assert gaussians(everywhere, SchNetSettings(radial_end=5.0)).shape[1] == 51


@pytest.mark.parametrize("name", ["CsCl", "Si", "SrTiO3", "TiO2"])
@pytest.mark.parametrize("net", [MEAN, SUM], ids=["mean", "sum"])
def test_it_is_what_the_equations_say(net: SchNet, name: str) -> None:
    with torch.no_grad():
        in_double = SchNet(net.settings)
        in_double.load_state_dict(net.state_dict())
        expected = written_out(in_double, COMPOUNDS[name])
    assert predict(COMPOUNDS[name], net) == pytest.approx(expected, abs=TOLERANCE, rel=1e-6)


@pytest.mark.parametrize("gamma", [2.0, 10.0, 50.0])
def test_the_table_gives_filters_between_its_rows(gamma: float) -> None:
    wide = SchNetSettings(gamma=gamma)
    grid = Grid.for_gaussians(wide.cutoff, wide.gamma)
    distances = torch.from_numpy(np.random.default_rng(0).uniform(0.3, 5.0, 200)).float()
    table = gaussians(grid.distances, wide)
    for distance, expected in zip(distances, gaussians(distances, wide), strict=True):
        pairs = Pairs.of(two_atoms(float(distance)), grid, cosine=False)
        torch.testing.assert_close(pairs.of_table.sum(table)[0], expected, atol=1e-5, rtol=0.0)


def test_gradients_of_the_convolution() -> None:
    crystal = supercell(COMPOUNDS["TiO2"], (1, 1, 2))
    batch = GraphBatch.collate([build_crystal_graph(crystal, UNMERGED), build_crystal_graph(COMPOUNDS["Si"], RADIUS)])
    grid = Grid(5.0, 0.5)
    pairs = Pairs.of(batch, grid, cosine=True)
    random = torch.Generator().manual_seed(1)
    features = torch.randn(len(batch.atomic_numbers), 2, generator=random, dtype=torch.float64, requires_grad=True)
    table = torch.randn(len(grid.distances), 2, generator=random, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pairs.convolve, (features, table), fast_mode=True)


def batch_of_all(graph: GraphSettings = RADIUS) -> GraphBatch:
    return GraphBatch.collate([build_crystal_graph(crystal, graph) for crystal in COMPOUNDS.values()])


def test_every_weight_learns() -> None:
    net = network()
    net(batch_of_all()).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0.0, name


def test_it_can_fit_what_it_sees() -> None:
    net = network().train()
    batch = batch_of_all()
    targets = torch.linspace(-1.0, 1.0, batch.n_crystals)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = (net(batch) - targets).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02


@pytest.mark.parametrize(
    ("frozen", "still"), [((), 0), (("embedding",), 1), (("embedding", "interactions"), 2)], ids=["tl1", "tl2", "tl3"]
)
def test_frozen_parts_stay_bit_for_bit(frozen: tuple[Part, ...], still: int) -> None:
    net = network().train()
    net.freeze(*frozen)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)
    net(batch_of_all()).square().sum().backward()
    optimizer.step()
    for name, value in net.state_dict().items():
        part = ("embedding", "interactions", "output").index(name.partition(".")[0])
        assert torch.equal(value, before[name]) == (part < still), name


def test_a_batch_answers_as_its_crystals_alone() -> None:
    with torch.inference_mode():
        together = MEAN(batch_of_all())
    assert together.tolist() == pytest.approx([predict(c) for c in COMPOUNDS.values()], abs=TOLERANCE)
    assert len({round(float(v), 5) for v in together}) == len(COMPOUNDS)


def test_the_inference_form_gives_the_same() -> None:
    batch = batch_of_all()
    for net in (MEAN, SUM):
        with torch.no_grad():
            torch.testing.assert_close(InferenceSchNet(net)(batch), net(batch), atol=0.0, rtol=0.0)


def test_bfloat16_stays_close() -> None:
    batch = batch_of_all()
    with torch.no_grad():
        full = MEAN(batch)
        with torch.autocast("cpu", torch.bfloat16):
            low = MEAN(batch)
    assert low.dtype == torch.float32
    assert float((low - full).abs().max()) < 0.1 * float(full.std())


def test_embeddings_are_means_over_atoms() -> None:
    with torch.no_grad():
        features = MEAN.embed(GraphBatch.collate([build_crystal_graph(COMPOUNDS["TiO2"], RADIUS)]))
        graph = build_crystal_graph(COMPOUNDS["TiO2"], UNMERGED)
        nodes = MEAN.nodes(GraphBatch.collate([graph]), MEAN.filters())
    torch.testing.assert_close(features[0], nodes.mean(0), atol=TOLERANCE, rtol=0.0)


CHANGES: dict[str, Callable[[Crystal, int], Crystal]] = {
    "permutation": permuted,
    "rotation": rotated,
    "translation": lambda crystal, seed: translated(crystal, np.random.default_rng(seed).uniform(-2, 2, 3)),
    "supercell": lambda crystal, seed: supercell(crystal, ((2, 1, 1), (1, 2, 2), (3, 1, 1))[seed % 3]),
    "other cell": lambda crystal, seed: other_cell(crystal),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
@settings(max_examples=10, deadline=None)
@given(crystal=crystals(), seed=st.integers(0, 1000))
def test_values_per_atom_do_not_change_and_totals_scale(change: str, crystal: Crystal, seed: int) -> None:
    assume(has_neighbours(crystal))
    changed = CHANGES[change](crystal, seed)
    assert predict(changed) == pytest.approx(predict(crystal), abs=TOLERANCE)
    per_atom = predict(crystal, SUM) / crystal.n_sites
    assert predict(changed, SUM) / changed.n_sites == pytest.approx(per_atom, abs=TOLERANCE)


@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_symmetric_crystals(name: str) -> None:
    crystal = COMPOUNDS[name]
    for change in CHANGES.values():
        assert predict(change(crystal, 4)) == pytest.approx(predict(crystal), abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(crystal=crystals())
def test_merging_equivalent_atoms_changes_nothing(crystal: Crystal) -> None:
    assume(has_neighbours(crystal))
    doubled = supercell(crystal, (1, 2, 1))
    for net in (MEAN, SUM):
        value = predict(doubled, net)
        assert value == pytest.approx(predict(doubled, net, UNMERGED), abs=TOLERANCE, rel=1e-6)


def has_neighbours(crystal: Crystal) -> bool:
    try:
        return bool(find_neighbours(crystal, RADIUS).distances.size)
    except IsolatedAtom:
        return False


@settings(max_examples=25, deadline=None)
@given(crystal=crystals())
def test_the_radius_graph_has_all_neighbours(crystal: Crystal) -> None:
    assume(has_neighbours(crystal))
    edges = find_neighbours(crystal, RADIUS)
    assert (edges.weights == 1.0).all()
    ends = zip(edges.starts, [*edges.starts[1:], len(edges.centre)], strict=True)
    for (first, last), expected in zip(ends, brute_force(crystal, RADIUS.cutoff), strict=True):
        found = sorted(zip(edges.neighbour[first:last].tolist(), edges.distances[first:last].tolist(), strict=True))
        assert found == [(j, pytest.approx(d, abs=1e-9)) for j, d in sorted(expected)]


def test_edges_between_the_same_nodes_are_one_pair() -> None:
    for graph in (RADIUS, UNMERGED):
        batch = GraphBatch.collate([build_crystal_graph(COMPOUNDS["NaCl"], graph)])
        pairs = Pairs.of(batch, MEAN.grid, cosine=True)
        ends = set(zip(batch.centre.tolist(), batch.neighbour.tolist(), strict=True))
        assert len(pairs.centre) == len(ends) < len(batch.centre)


def test_radius_graphs_in_manifests() -> None:
    assert GraphSettings.model_validate_json('{"cutoff": 8.0}').n_neighbours == 12
    assert GraphSettings.model_validate_json(RADIUS.model_dump_json()) == RADIUS


def test_a_graph_too_large_is_refused_before_it_is_made() -> None:
    few = RADIUS.model_copy(update={"max_edges": 300})
    with pytest.raises(StructureTooLarge, match=r"8 atoms in 74\.72 Å³ have about 448 neighbours within 5 Å"):
        build_crystal_graph(COMPOUNDS["MgO"], few)


def test_an_atom_without_neighbours_is_named() -> None:
    lone = Crystal(np.eye(3) * 20.0, np.zeros((1, 3)), np.array([54]))
    with pytest.raises(IsolatedAtom, match=r"Atom 1 \(Xe\).*5 Å"):
        build_crystal_graph(lone, RADIUS)


@pytest.mark.parametrize(
    ("given_settings", "complaint"),
    [
        ({"cutoff": 6.0, "radial_end": 5.0}, "before the cutoff of 6 Å"),
        ({"cutoff": 0}, "greater than 0"),
        ({"atom_scale": 0}, "greater than 0"),
        ({"readout": "max"}, "'mean' or 'sum'"),
        ({"n_hidden": 2}, "not permitted"),
    ],
)
def test_settings_that_make_no_network(given_settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SchNetSettings.model_validate(given_settings)


def test_the_batch_knows_the_size_of_its_cells() -> None:
    cell = COMPOUNDS["NaCl"]
    batch = GraphBatch.collate([build_crystal_graph(c, RADIUS) for c in (cell, supercell(cell, (1, 2, 1)))])
    n_sites: Tensor = batch.to(torch.device("cpu")).n_sites
    assert n_sites.tolist() == [8.0, 16.0]
