"""Periodic nearest neighbours with their ties, exact, independent of atom order and cell choice."""

import numpy as np
import numpy.typing as npt
from pymatgen.optimization.neighbors import find_points_in_spheres

from app.core.errors import IsolatedAtom, StructureError, StructureTooLarge, UnphysicalStructure
from app.learning.graphs.settings import GraphSettings
from app.structures.crystal import Crystal
from app.structures.elements import SYMBOLS
from app.structures.geometry import cell_heights

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_START_FACTOR = 1.35
_GROWTH = 1.3
_PERIODIC = np.ones(3, dtype=np.int64)
_SAME_POINT = 1e-8
"""Å. Tolerance of the cell list; lengths are compared at the graph's own tolerance."""


class TooFewNeighbours(StructureError):
    code, title = "too_few_neighbours", "An atom has too few neighbours"


class NeighbourList:
    """Directed edges, grouped by centre; nearest first, or in a radius graph by neighbour.

    Dimensions: N sites, E edges.
        centre, neighbour  (E,) int64
        distances          (E,) float64, Å
        weights            (E,) float64; 1, but the neighbours tied at the last place share the places left, so that
                           the weights of a fully surrounded atom sum to `n_neighbours`, where there is such a number;
                           with strict ties all 1
        starts             (N,) int64, where the edges of each centre begin
    """

    __slots__ = ("centre", "distances", "neighbour", "starts", "weights")

    def __init__(
        self, centre: IntArray, neighbour: IntArray, distances: FloatArray, weights: FloatArray, starts: IntArray
    ) -> None:
        self.centre = centre
        self.neighbour = neighbour
        self.distances = distances
        self.weights = weights
        self.starts = starts


def find_neighbours(crystal: Crystal, settings: GraphSettings) -> NeighbourList:
    """The `n_neighbours` nearest neighbours of each atom within `cutoff`, and all tied with the last; or all there are.

    With strict ties exactly `n_neighbours`.

    The search radius starts from the mean density and grows until every atom is surrounded, which is exact and
    avoids the r³ cost of searching the whole cutoff. An atom with fewer neighbours within the cutoff keeps those.

    Raises IsolatedAtom when an atom has none, TooFewNeighbours when ties are strict and an atom has fewer than
    `n_neighbours`, UnphysicalStructure when the cell would need too many images, StructureTooLarge when there would be
    too many neighbours.
    """
    _refuse_needles(crystal, settings)
    k = settings.n_neighbours
    if k is None:
        return _all_within(crystal, settings)
    if settings.ties == "strict":
        return _strictly_nearest(crystal, k, settings)
    radius = _START_FACTOR * (3 * (k + 1) * crystal.volume / (4 * np.pi * crystal.n_sites)) ** (1 / 3)
    while True:
        radius = min(radius, settings.cutoff)
        found = _nearest(crystal, *_pairs_within(crystal, radius), radius, k, settings)
        if found is not None:
            return found
        radius *= _GROWTH


def _pairs_within(crystal: Crystal, radius: float) -> tuple[IntArray, IntArray, FloatArray]:
    """Centre (ascending), neighbour and distance of all pairs within `radius`, each atom itself among them."""
    lattice = np.ascontiguousarray(crystal.lattice)
    positions = crystal.fractional_coordinates % 1.0 @ lattice
    centre, neighbour, _, distances = find_points_in_spheres(
        positions, positions, r=radius, pbc=_PERIODIC, lattice=lattice, tol=_SAME_POINT
    )
    return centre, neighbour, distances


def _all_within(crystal: Crystal, settings: GraphSettings) -> NeighbourList:
    _refuse_crowds(crystal, settings)
    centre, neighbour, distances = _pairs_within(crystal, settings.cutoff)
    others = np.flatnonzero((centre != neighbour) | (distances > _SAME_POINT))
    # Edges of one pair of atoms behind each other: a network may take them together.
    order = others[np.argsort(centre[others] * crystal.n_sites + neighbour[others], kind="stable")]
    n_kept = np.bincount(centre[order], minlength=crystal.n_sites)
    _refuse_isolated(crystal, n_kept, settings)
    starts = np.cumsum(n_kept) - n_kept
    return NeighbourList(centre[order], neighbour[order], distances[order], np.ones(order.shape[0]), starts)


def _nearest(
    crystal: Crystal,
    centre: IntArray,
    neighbour: IntArray,
    distances: FloatArray,
    radius: float,
    k: int,
    settings: GraphSettings,
) -> NeighbourList | None:
    """The nearest of all pairs within `radius`, each atom itself among them and `centre` ascending.

    None if some atom may miss a neighbour and the radius can still grow.
    """
    final = radius >= settings.cutoff
    tolerance = settings.tie_tolerance
    counts = np.bincount(centre, minlength=crystal.n_sites)
    surrounded = counts > k
    if not final and not surrounded.all():
        return None
    order = (centre * (2.0 * settings.cutoff) + distances).argsort()
    distances = distances[order]
    starts = counts.cumsum() - counts
    # The atom itself stands first, so the k-th neighbour is k places on.
    last = distances[np.minimum(starts + k, distances.shape[0] - 1)]
    if not final and last.max() + tolerance > radius:
        return None
    last = np.where(surrounded, last, np.inf)
    keep = distances <= np.minimum(last + tolerance, settings.cutoff)[centre]
    keep[starts] = False
    centre, distances = centre[keep], distances[keep]
    n_kept = np.bincount(centre, minlength=crystal.n_sites)
    _refuse_isolated(crystal, n_kept, settings)
    return NeighbourList(
        centre,
        neighbour[order[keep]],
        distances,
        _shared_places(centre, distances, last - tolerance, n_kept, k),
        n_kept.cumsum() - n_kept,
    )


def _strictly_nearest(crystal: Crystal, k: int, settings: GraphSettings) -> NeighbourList:
    """The k nearest of each atom; among equals those that the search of the whole cutoff names first.

    That is the original CGCNN code's choice when it is given the same arrays: its search is the same one.
    """
    _refuse_crowds(crystal, settings)
    centre, neighbour, distances = _pairs_within(crystal, settings.cutoff)
    counts = np.bincount(centre, minlength=crystal.n_sites)
    _refuse_sparse(crystal, counts - 1, k, settings.cutoff)
    order = np.lexsort((distances, centre))
    starts = np.cumsum(counts) - counts
    # The atom itself stands first.
    kept = order[(starts[:, None] + np.arange(1, k + 1)).ravel()]
    return NeighbourList(
        centre[kept], neighbour[kept], distances[kept], np.ones(kept.shape[0]), np.arange(crystal.n_sites) * k
    )


def _shared_places(
    centre: IntArray, distances: FloatArray, shell_starts: FloatArray, n_kept: IntArray, k: int
) -> FloatArray:
    """Weights (E,): neighbours from `shell_starts` (N,) on share the places that the nearer ones leave of `k`."""
    tied = distances >= shell_starts[centre]
    n_tied = np.bincount(centre, weights=tied, minlength=n_kept.shape[0])
    shared = np.minimum(np.maximum(k - (n_kept - n_tied), 0.0), n_tied) / np.maximum(n_tied, 1.0)
    return np.where(tied, shared[centre], 1.0)


def _refuse_isolated(crystal: Crystal, n_kept: IntArray, settings: GraphSettings) -> None:
    site = int(n_kept.argmin())
    if n_kept[site] == 0:
        raise IsolatedAtom(
            f"Atom {site + 1} ({SYMBOLS[int(crystal.atomic_numbers[site])]}) has no neighbour within "
            f"{settings.cutoff:g} Å: a crystal graph needs bonded atoms.",
            site=site + 1,
        )


def _refuse_sparse(crystal: Crystal, n_found: IntArray, k: int, cutoff: float) -> None:
    site = int(n_found.argmin())
    if n_found[site] < k:
        raise TooFewNeighbours(
            f"Atom {site + 1} ({SYMBOLS[int(crystal.atomic_numbers[site])]}) has {n_found[site]} neighbours within "
            f"{cutoff:g} Å, and this model takes exactly {k}: another model may answer.",
            site=site + 1,
        )


def _refuse_crowds(crystal: Crystal, settings: GraphSettings) -> None:
    """Before the arrays of all pairs within the cutoff are made."""
    n_expected = crystal.n_sites**2 / crystal.volume * 4 / 3 * np.pi * settings.cutoff**3
    if n_expected > settings.max_edges:
        raise StructureTooLarge(
            f"{crystal.n_sites} atoms in {crystal.volume:.4g} Å³ have about {n_expected:.3g} neighbours within "
            f"{settings.cutoff:g} Å: at most {settings.max_edges} are allowed."
        )


def _refuse_needles(crystal: Crystal, settings: GraphSettings) -> None:
    """A cell that is flat or thin has more images within the cutoff than memory has room for."""
    heights = cell_heights(crystal.lattice)
    n_images = float(crystal.n_sites)
    for height in heights:
        n_images *= 2.0 * np.ceil(settings.cutoff / height) + 1.0 if height > 0 else np.inf
    if n_images > 4.0 * settings.max_edges:
        raise UnphysicalStructure(
            f"The cell has a height of only {min(heights):.3g} Å: its neighbourhood would hold "
            f"{n_images:.3g} atom images.",
        )
