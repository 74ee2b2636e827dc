"""The plain definition of the graph: all images within the cutoff, one node an atom, no shortcut of any kind."""

import itertools

import numpy as np

from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal


def reference_graph(crystal: Crystal, settings: GraphSettings) -> CrystalGraph:
    """An edge to each of the nearest neighbours and to all that are tied with the last, which share its place."""
    shifts = _shifts(crystal, settings.cutoff)
    wrapped = crystal.fractional_coordinates % 1.0
    images = ((wrapped[None] + shifts[:, None]) @ crystal.lattice).reshape(-1, 3)
    owners = np.tile(np.arange(crystal.n_sites), len(shifts))
    k, tolerance = settings.n_neighbours, settings.tie_tolerance
    columns: list[tuple[np.ndarray, ...]] = []
    for site, position in enumerate(wrapped @ crystal.lattice):
        lengths = np.sqrt(((images - position) ** 2).sum(axis=1))
        near = np.flatnonzero((lengths <= settings.cutoff) & (lengths > 1e-6))
        near = near[np.argsort(lengths[near])]
        last = lengths[near[k - 1]] if len(near) >= k else np.inf
        kept = near[lengths[near] <= last + tolerance]
        tied = lengths[kept] >= last - tolerance
        weights = np.where(tied, (k - np.sum(~tied)) / max(np.sum(tied), 1), 1.0)
        columns.append((np.full(len(kept), site), owners[kept], lengths[kept], weights))
    centre, neighbour, distances, weights = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return CrystalGraph(
        atomic_numbers=crystal.atomic_numbers.astype(np.uint8),
        node_weights=np.full(crystal.n_sites, 1.0 / crystal.n_sites, dtype=np.float32),
        edge_index=np.stack([centre, neighbour]).astype(np.int32),
        distances=distances.astype(np.float32),
        edge_weights=weights.astype(np.float32),
        n_sites=crystal.n_sites,
    )


def _shifts(crystal: Crystal, cutoff: float) -> np.ndarray:
    """Cells that may hold an atom within the cutoff of one in the first cell, (S, 3)."""
    heights = crystal.volume / np.linalg.norm(np.cross(crystal.lattice[[1, 2, 0]], crystal.lattice[[2, 0, 1]]), axis=1)
    reach = np.ceil(cutoff / heights).astype(int)
    return np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
