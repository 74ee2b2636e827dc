"""The crystal graph a network sees."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.errors import UnsupportedElement
from app.learning.graphs.neighbours import find_neighbours
from app.learning.graphs.quotient import equal_lengths, partition, refine
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.elements import MAX_ATOMIC_NUMBER, SYMBOLS


@dataclass(frozen=True, slots=True)
class CrystalGraph:
    """One crystal as a graph of distinct atoms.

    Dimensions: n nodes, e directed edges (sorted by centre).
        atomic_numbers  (n,)   uint8
        node_weights    (n,)   float32, share of the crystal's atoms this node stands for, sums to 1
        edge_index      (2, e) int32, row 0 = centre, row 1 = neighbour
        distances       (e,)   float32, Å
        edge_weights    (e,)   float32, how many neighbours the edge stands for
        n_sites         atoms of the cell the graph was made from
    """

    atomic_numbers: npt.NDArray[np.uint8]
    node_weights: npt.NDArray[np.float32]
    edge_index: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    edge_weights: npt.NDArray[np.float32]
    n_sites: int

    @property
    def n_nodes(self) -> int:
        return int(self.atomic_numbers.shape[0])

    @property
    def n_edges(self) -> int:
        return int(self.distances.shape[0])


def build_crystal_graph(crystal: Crystal, settings: GraphSettings) -> CrystalGraph:
    """Neighbours, ties, and (unless switched off) the merging of equivalent atoms.

    Raises UnsupportedElement beyond element 100, IsolatedAtom, UnphysicalStructure.
    """
    heaviest = int(crystal.atomic_numbers.max())
    if heaviest > MAX_ATOMIC_NUMBER:
        raise UnsupportedElement(f"{SYMBOLS[heaviest]} is not supported: elements 1 to {MAX_ATOMIC_NUMBER} are.")
    edges = find_neighbours(crystal, settings)
    if not settings.merge_equivalent:
        n = crystal.n_sites
        return CrystalGraph(
            atomic_numbers=crystal.atomic_numbers.astype(np.uint8),
            node_weights=np.full(n, 1.0 / n, dtype=np.float32),
            edge_index=np.stack([edges.centre, edges.neighbour]).astype(np.int32),
            distances=edges.distances.astype(np.float32),
            edge_weights=edges.weights.astype(np.float32),
            n_sites=n,
        )
    lengths = equal_lengths(edges.distances)
    classes = refine(crystal.atomic_numbers, edges, lengths.members)
    n_classes, n_lengths = classes.n_classes, lengths.n_classes
    pairs = classes.members[edges.centre] * n_classes + classes.members[edges.neighbour]
    keys = pairs * n_lengths + lengths.members
    equal = partition(keys)
    centre, neighbour = np.divmod(keys[equal.representatives] // n_lengths, n_classes)
    weights = np.add.reduceat(edges.weights[equal.order], equal.starts)
    # The mean of just the edges that become one: what they differ by changes the prediction in second order only.
    total = np.add.reduceat((edges.weights * edges.distances)[equal.order], equal.starts)
    return CrystalGraph(
        atomic_numbers=crystal.atomic_numbers[classes.representatives].astype(np.uint8),
        node_weights=(classes.sizes / crystal.n_sites).astype(np.float32),
        edge_index=np.stack((centre, neighbour)).astype(np.int32),
        distances=(total / weights).astype(np.float32),
        edge_weights=(weights / classes.sizes[centre]).astype(np.float32),
        n_sites=crystal.n_sites,
    )
