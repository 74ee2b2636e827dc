"""Periodic nearest neighbours with their ties, exact, independent of atom order and cell choice."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from app.core.errors import IsolatedAtom, UnphysicalStructure
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_START_FACTOR = 1.35
_GROWTH = 1.3
_DENSE_LIMIT = 200_000


class NeighbourList:
    """Directed edges, grouped by centre.

    Dimensions: N sites, E edges.
        centre, neighbour  (E,) int64
        distances          (E,) float64, Å
        weights            (E,) float64; 1, but the neighbours tied at the last place share the places left, so that
                           the weights of a fully surrounded atom sum to `n_neighbours`
    """

    __slots__ = ("centre", "distances", "neighbour", "weights")

    def __init__(self, centre: IntArray, neighbour: IntArray, distances: FloatArray, weights: FloatArray) -> None:
        self.centre = centre
        self.neighbour = neighbour
        self.distances = distances
        self.weights = weights


def find_neighbours(crystal: Crystal, settings: GraphSettings) -> NeighbourList:
    """The `n_neighbours` nearest neighbours of each atom within `cutoff`, and all tied with the last.

    The search radius starts from the mean density and grows until every atom is surrounded, which is exact and
    avoids the r³ cost of searching the whole cutoff. An atom with fewer neighbours within the cutoff keeps those.

    Raises IsolatedAtom when an atom has none, UnphysicalStructure when the cell would need too many images.
    """
    radius = _START_FACTOR * (3 * (settings.n_neighbours + 1) * crystal.volume / (4 * np.pi * crystal.n_sites)) ** (
        1 / 3
    )
    wrapped = crystal.fractional_coordinates % 1.0
    while True:
        radius = min(radius, settings.cutoff)
        found = _search(crystal, wrapped, radius, settings)
        if found is not None:
            return found
        radius *= _GROWTH


def _search(crystal: Crystal, wrapped: FloatArray, radius: float, settings: GraphSettings) -> NeighbourList | None:
    """Neighbours within `radius`; None if some atom may miss one and the radius can still grow."""
    final = radius >= settings.cutoff
    points, owners = _images(crystal, wrapped, radius, settings.max_edges)
    positions = wrapped @ crystal.lattice
    if crystal.n_sites * points.shape[0] <= _DENSE_LIMIT:
        distances, neighbour = _nearest_dense(positions, points, owners)
    else:
        distances, neighbour = _nearest_tree(positions, points, owners, settings)
    k = settings.n_neighbours
    if distances.shape[1] < k:
        if not final:
            return None
        last = np.full(crystal.n_sites, np.inf)
    else:
        last = distances[:, k - 1]
    if not final and np.any(last + settings.tie_tolerance > radius):
        return None
    reach = np.minimum(last + settings.tie_tolerance, settings.cutoff)
    keep = distances <= reach[:, None]
    counts = keep.sum(axis=1)
    if np.any(counts == 0):
        site = int(np.argmin(counts))
        raise IsolatedAtom(
            f"Atom {site + 1} ({SYMBOLS[int(crystal.atomic_numbers[site])]}) has no neighbour within "
            f"{settings.cutoff:g} Å: a crystal graph needs bonded atoms.",
            site=site + 1,
        )
    return _collect(distances, neighbour, keep, last, settings)


def _collect(
    distances: FloatArray, neighbour: IntArray, keep: npt.NDArray[np.bool_], last: FloatArray, settings: GraphSettings
) -> NeighbourList:
    tied = keep & (distances >= (last - settings.tie_tolerance)[:, None])
    n_tied = tied.sum(axis=1)
    n_inner = keep.sum(axis=1) - n_tied
    shared = np.where(n_tied > 0, np.clip(settings.n_neighbours - n_inner, 0, n_tied) / np.maximum(n_tied, 1), 1.0)
    weights = np.where(tied, shared[:, None], 1.0)
    centre, column = np.nonzero(keep)
    return NeighbourList(centre, neighbour[centre, column], distances[centre, column], weights[centre, column])


def _images(crystal: Crystal, wrapped: FloatArray, radius: float, max_points: int) -> tuple[FloatArray, IntArray]:
    """Every atom image within `radius` of the cell: points (M, 3) Å and owners (M,); the cell's own atoms first."""
    heights = crystal.volume / np.linalg.norm(np.cross(crystal.lattice[[1, 2, 0]], crystal.lattice[[2, 0, 1]]), axis=1)
    margin = radius / heights
    reach = np.ceil(margin).astype(np.int64)
    n_images = float(np.prod(2.0 * reach + 1.0))
    if n_images * crystal.n_sites > 4.0 * max_points:
        raise UnphysicalStructure(
            f"The cell has a height of only {heights.min():.3g} Å: its neighbourhood would hold "
            f"{n_images * crystal.n_sites:.3g} atom images.",
        )
    grids = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    shifts = np.stack([grid.ravel() for grid in grids], axis=1)
    middle = shifts.shape[0] // 2
    shifts = np.concatenate([shifts[middle : middle + 1], shifts[:middle], shifts[middle + 1 :]])
    fractional = (shifts[:, None, :] + wrapped[None, :, :]).reshape(-1, 3)
    near = np.all((fractional >= -margin) & (fractional <= 1.0 + margin), axis=1)
    owners = np.tile(np.arange(crystal.n_sites), shifts.shape[0])[near]
    return fractional[near] @ crystal.lattice, owners


def _nearest_dense(positions: FloatArray, points: FloatArray, owners: IntArray) -> tuple[FloatArray, IntArray]:
    """Sorted distances (N, M-1) and owners, by the full matrix: fastest for small cells."""
    n = positions.shape[0]
    delta = positions[:, None, :] - points[None, :, :]
    squared = np.einsum("nmk,nmk->nm", delta, delta)
    squared[np.arange(n), np.arange(n)] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, :-1]
    return np.sqrt(np.take_along_axis(squared, order, axis=1)), owners[order]


def _nearest_tree(
    positions: FloatArray, points: FloatArray, owners: IntArray, settings: GraphSettings
) -> tuple[FloatArray, IntArray]:
    """The same for large cells by a k-d tree, with as many columns as the ties need."""
    tree = cKDTree(points)
    k = settings.n_neighbours + 9
    while True:
        k = min(k, points.shape[0])
        distances, index = tree.query(positions, k=k)
        rows = np.arange(positions.shape[0])[:, None]
        distances = np.where(index == rows, np.inf, distances)
        order = np.argsort(distances, axis=1, kind="stable")[:, :-1]
        distances = np.take_along_axis(distances, order, axis=1)
        index = np.take_along_axis(index, order, axis=1)
        full = k == points.shape[0] or distances.shape[1] <= settings.n_neighbours
        if full or np.all(distances[:, -1] > distances[:, settings.n_neighbours - 1] + settings.tie_tolerance):
            return distances, owners[index]
        k *= 2
