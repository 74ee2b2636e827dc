"""Neighbours against pymatgen, ties, bounds, and the merging of equivalent atoms."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from app.core.errors import IsolatedAtom, UnphysicalStructure, UnsupportedElement
from app.learning.graphs.batch import GraphBatch
from app.learning.graphs.cache import GraphCache
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.neighbours import find_neighbours
from app.learning.graphs.packed import PackedGraphs, write_packed
from app.learning.graphs.quotient import equal_lengths
from app.learning.graphs.settings import GraphSettings
from app.learning.samples import GraphSamples, featurise_composition
from app.structures.crystal import Crystal
from tests.crystals import COMPOUNDS, diamond, fcc, rocksalt, supercell
from tests.learning.strategies import crystals

CPU = torch.device("cpu")
PLAIN = GraphSettings(merge_equivalent=False)


def pymatgen_distances(crystal: Crystal, cutoff: float) -> list[list[float]]:
    structure = Structure(Lattice(crystal.lattice), crystal.atomic_numbers.tolist(), crystal.fractional_coordinates)
    return [sorted(n.nn_distance for n in shell) for shell in structure.get_all_neighbors(cutoff)]


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_the_twelve_nearest_are_pymatgens(crystal: Crystal) -> None:
    edges = find_neighbours(crystal, PLAIN)
    for site, reference in enumerate(pymatgen_distances(crystal, 8.0)):
        own = np.sort(edges.distances[edges.centre == site])
        reach = reference[11] + PLAIN.tie_tolerance if len(reference) >= 12 else PLAIN.cutoff
        n_expected = sum(d <= reach for d in reference)
        assert own.shape[0] == n_expected
        np.testing.assert_allclose(own, reference[:n_expected], atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(crystals())
def test_weights_sum_to_twelve_or_to_what_there_is(crystal: Crystal) -> None:
    edges = find_neighbours(crystal, PLAIN)
    expected = np.minimum(np.bincount(edges.centre), 12)
    np.testing.assert_allclose(np.bincount(edges.centre, weights=edges.weights), expected, atol=1e-9)


def test_large_and_small_cells_give_the_same_neighbours() -> None:
    small = find_neighbours(COMPOUNDS["SrTiO3"], PLAIN)
    large = find_neighbours(supercell(COMPOUNDS["SrTiO3"], (5, 5, 5)), PLAIN)
    assert large.distances.shape[0] == 125 * small.distances.shape[0]
    np.testing.assert_allclose(np.sort(large.distances), np.sort(np.tile(small.distances, 125)), atol=1e-7)


def test_rocksalt_has_six_full_and_twelve_half_neighbours() -> None:
    edges = find_neighbours(rocksalt(5.6402, "Na", "Cl"), PLAIN)
    first = edges.centre == 0
    assert np.sum(first) == 18
    assert sorted(set(np.round(edges.weights[first], 6))) == [0.5, 1.0]


def test_a_lone_atom_in_a_box_is_named() -> None:
    with pytest.raises(IsolatedAtom, match=r"Atom 1 \(Xe\).*8 Å"):
        find_neighbours(Crystal(np.eye(3) * 20.0, np.zeros((1, 3)), np.array([54])), PLAIN)


def test_a_molecule_in_a_box_keeps_its_few_neighbours() -> None:
    molecule = Crystal(np.eye(3) * 25.0, np.array([[0.5, 0.5, 0.5], [0.544, 0.5, 0.5]]), np.array([7, 7]))
    graph = build_crystal_graph(molecule, GraphSettings())
    assert (graph.n_nodes, graph.n_edges) == (1, 1)


def test_a_needle_thin_cell_is_refused_before_the_arrays_are_made() -> None:
    thin = Crystal(np.diag([1e-6, 500.0, 500.0]), np.zeros((1, 3)), np.array([6]))
    with pytest.raises(UnphysicalStructure, match="height"):
        build_crystal_graph(thin, GraphSettings())


def test_elements_beyond_fermium_are_refused() -> None:
    with pytest.raises(UnsupportedElement, match="Og"):
        build_crystal_graph(fcc(5.0, "Og"), GraphSettings())


def test_compositions_of_crystals_are_not_cut_at_fermium() -> None:
    assert featurise_composition(fcc(5.0, "Cu")).sum() == 1.0
    with pytest.raises(UnsupportedElement, match="Og"):
        featurise_composition(fcc(5.0, "Og"))


@pytest.mark.parametrize("name", sorted(COMPOUNDS))
def test_equivalent_atoms_become_one_node(name: str) -> None:
    merged = build_crystal_graph(COMPOUNDS[name], GraphSettings())
    repeated = build_crystal_graph(supercell(COMPOUNDS[name], (2, 1, 3)), GraphSettings())
    assert merged.node_weights.sum() == pytest.approx(1.0)
    assert (merged.n_nodes, merged.n_edges) == (repeated.n_nodes, repeated.n_edges)
    assert merged.n_nodes <= 3
    np.testing.assert_allclose(
        np.bincount(merged.edge_index[0], weights=merged.edge_weights), np.full(merged.n_nodes, 12.0), atol=1e-5
    )


def test_different_sites_of_one_element_stay_apart() -> None:
    base = supercell(diamond(5.431, "Si"), (2, 1, 1))
    moved = base.fractional_coordinates.copy()
    moved[0] += 0.02
    distorted = Crystal(base.lattice, moved, base.atomic_numbers)
    assert build_crystal_graph(distorted, GraphSettings()).n_nodes == distorted.n_sites


def test_small_displacements_in_a_large_cell_stay_what_they_are() -> None:
    base = supercell(fcc(3.615, "Cu"), (8, 8, 8))
    moved = base.positions + np.random.default_rng(0).normal(0, 0.01, (base.n_sites, 3))
    crystal = Crystal(base.lattice, moved @ np.linalg.inv(base.lattice), base.atomic_numbers)
    distances = find_neighbours(crystal, PLAIN).distances
    lengths = equal_lengths(distances)
    shortest = distances[lengths.representatives][lengths.members]
    np.testing.assert_allclose(shortest, distances, atol=2e-4)
    assert build_crystal_graph(crystal, GraphSettings()).n_nodes == crystal.n_sites


def test_nearly_equal_lengths_between_other_elements_stay_apart() -> None:
    """The mean length of the edges that become one is theirs alone."""
    places = np.array([[0.0, 0, 0], [2.0, 0, 0], [4.000015, 0, 0]])
    lattice = np.diag([8.0, 5.0, 5.0])
    crystal = Crystal(lattice, places @ np.linalg.inv(lattice), np.array([56, 8, 22]))
    graph = build_crystal_graph(crystal, GraphSettings())
    centre, neighbour = graph.atomic_numbers[graph.edge_index]
    for element, distance in ((56, 2.0), (22, 2.000015)):
        of = (centre == 8) & (neighbour == element)
        assert abs(graph.distances[of].min() - distance) < 1e-6


@settings(max_examples=25, deadline=None)
@given(crystals(max_sites=4), st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(-3, 3)), max_size=4))
def test_skewed_cells_have_the_neighbours_of_compact_ones(crystal: Crystal, shears: list[tuple[int, int, int]]) -> None:
    matrix = np.eye(3)
    for row, offset, times in shears:
        matrix[row] += times * matrix[(row + offset) % 3]
    lattice = matrix @ crystal.lattice
    skewed = Crystal(lattice, crystal.positions @ np.linalg.inv(lattice), crystal.atomic_numbers)
    for site in range(crystal.n_sites):
        compact, other = (
            np.sort(edges.distances[edges.centre == site])
            for edges in (find_neighbours(crystal, PLAIN), find_neighbours(skewed, PLAIN))
        )
        np.testing.assert_allclose(other, compact, atol=1e-7)


def test_parts_are_written_behind_each_other(tmp_path: Path) -> None:
    graphs = [build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()]
    write_packed(tmp_path, "key", (PackedGraphs.pack(part) for part in (graphs[:1], graphs[1:4], graphs[4:])))
    loaded, whole = PackedGraphs.load(tmp_path, "key"), PackedGraphs.pack(graphs)
    assert loaded is not None
    for field in fields(PackedGraphs):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(whole, field.name))
        assert getattr(loaded, field.name).dtype == getattr(whole, field.name).dtype


def test_samples_of_a_mapped_set_stay_on_disk(tmp_path: Path) -> None:
    graphs = [build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()]
    PackedGraphs.pack(graphs).save(tmp_path, "key")
    loaded = PackedGraphs.load(tmp_path, "key")
    assert loaded is not None
    samples = GraphSamples(loaded).take(np.array([4, 2, 3, 0])).take(np.array([1, 3]))
    assert isinstance(samples.source.distances, np.memmap)
    assert len(samples) == 2
    assert samples.costs.tolist() == [graphs[2].n_edges, graphs[0].n_edges]
    batch, expected = samples.batch(np.array([1, 0]), CPU), GraphBatch.collate([graphs[0], graphs[2]])
    assert torch.equal(batch.distances, expected.distances)
    assert torch.equal(batch.neighbour, expected.neighbour)
    np.testing.assert_array_equal(samples.packed.distances, PackedGraphs.pack([graphs[2], graphs[0]]).distances)


def test_packing_is_lossless_and_survives_the_disk(tmp_path: Path) -> None:
    graphs = [build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()]
    packed = PackedGraphs.pack(graphs)
    folder = tmp_path / "packed"
    packed.save(folder, "key")
    assert PackedGraphs.load(folder, "another key") is None
    loaded = PackedGraphs.load(folder, "key")
    assert loaded is not None
    order = np.array([3, 0, 5])
    taken = loaded.take(order)
    again = PackedGraphs.pack([graphs[i] for i in order])
    for name in ("atomic_numbers", "node_weights", "edge_index", "distances", "edge_weights", "node_offsets"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(again, name))
    assert len(loaded.take(np.zeros(0, dtype=np.int64))) == 0


def test_saving_again_leaves_the_mapped_arrays_of_others_alone(tmp_path: Path) -> None:
    graphs = [build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()]
    PackedGraphs.pack(graphs).save(tmp_path, "old")
    mapped = PackedGraphs.load(tmp_path, "old")
    assert mapped is not None
    before = mapped.distances.copy()
    PackedGraphs.pack(graphs[:1]).save(tmp_path, "new")
    np.testing.assert_array_equal(mapped.distances, before)
    assert PackedGraphs.load(tmp_path, "old") is None
    assert sorted(path.suffix for path in tmp_path.glob("*partial*")) == []


def test_an_interrupted_save_leaves_nothing_to_load(tmp_path: Path) -> None:
    packed = PackedGraphs.pack([build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()])
    packed.save(tmp_path, "key")

    def parts(whole: int) -> Iterator[PackedGraphs]:
        yield from [packed] * whole
        raise OSError("No space left on device")

    for whole in (1, 0):
        with pytest.raises(OSError, match="space"):
            write_packed(tmp_path, "key", parts(whole))
        assert PackedGraphs.load(tmp_path, "key") is None


def test_a_batch_points_into_its_own_crystals() -> None:
    batch = GraphBatch.collate([build_crystal_graph(c, GraphSettings()) for c in COMPOUNDS.values()])
    same = batch.crystal_index[batch.centre] == batch.crystal_index[batch.neighbour]
    assert bool(same.all())
    assert batch.n_crystals == len(COMPOUNDS)


def test_the_cache_gives_back_the_same_graph_and_stays_bounded() -> None:
    cache = GraphCache(max_edges=400)
    first = cache.build(COMPOUNDS["NaCl"], GraphSettings())
    assert cache.build(COMPOUNDS["NaCl"], GraphSettings()) is first
    assert cache.build(COMPOUNDS["NaCl"], PLAIN) is not first
    for crystal in COMPOUNDS.values():
        cache.build(crystal, GraphSettings())
    assert cache.build(COMPOUNDS["NaCl"], GraphSettings()) is not first
