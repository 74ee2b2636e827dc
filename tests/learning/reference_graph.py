"""The plain definition of the neighbours and of the graph: all images within the cutoff, no shortcut of any kind."""

import itertools

import numpy as np

from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal


def reference_graph(crystal: Crystal, settings: GraphSettings) -> CrystalGraph:
    """One node an atom; an edge to each of the nearest neighbours and to all that are tied with the last."""
    heights = crystal.volume / np.linalg.norm(np.cross(crystal.lattice[[1, 2, 0]], crystal.lattice[[2, 0, 1]]), axis=1)
    reach = np.ceil(settings.cutoff / heights).astype(int)
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    wrapped = crystal.fractional_coordinates % 1.0
    edges: list[tuple[int, int, float, float]] = []
    for site in range(crystal.n_sites):
        vectors = (wrapped[None] + shifts[:, None] - wrapped[site]) @ crystal.lattice
        lengths = np.sqrt((vectors**2).sum(axis=2))
        image, owner = np.nonzero((lengths <= settings.cutoff) & (lengths > 1e-6))
        found = sorted(zip(lengths[image, owner].tolist(), owner.tolist(), strict=True))
        k = settings.n_neighbours
        last = found[k - 1][0] if len(found) >= k else np.inf
        kept = [(d, j) for d, j in found if d <= last + settings.tie_tolerance]
        tied = [d >= last - settings.tie_tolerance for d, _ in kept]
        share = (k - (len(kept) - sum(tied))) / sum(tied) if any(tied) else 1.0
        edges += [(site, j, d, share if is_tied else 1.0) for (d, j), is_tied in zip(kept, tied, strict=True)]
    centre, neighbour, distances, weights = (np.array(column) for column in zip(*edges, strict=True))
    return CrystalGraph(
        atomic_numbers=crystal.atomic_numbers.astype(np.uint8),
        node_weights=np.full(crystal.n_sites, 1.0 / crystal.n_sites, dtype=np.float32),
        edge_index=np.stack([centre, neighbour]).astype(np.int32),
        distances=distances.astype(np.float32),
        edge_weights=weights.astype(np.float32),
        n_sites=crystal.n_sites,
    )
