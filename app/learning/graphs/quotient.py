"""Atoms with equal surroundings become one node: the same prediction from a smaller graph.

A message-passing network that sees only elements and distances gives equal features to atoms that colour refinement
(the 1-dimensional Weisfeiler-Leman test) cannot tell apart. Symmetry-equivalent atoms are among those. So one
representative of each class is enough: its edges lead to the classes of its neighbours, edges of equal length
to one class are counted instead of repeated, and pooling weighs each node by the size of its class. A supercell, or
any other cell of the same crystal, has the same quotient.
"""

import numpy as np
import numpy.typing as npt

from app.learning.graphs.neighbours import NeighbourList

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]

LENGTH_TOLERANCE = 1e-4
"""Å. Distances are one length where they follow each other more closely than this."""
_LENGTH_SPREAD = 20 * LENGTH_TOLERANCE
"""Å. Nor may one length be broader than this: in large cells with small displacements all distances follow closely."""


def equal_lengths(distances: FloatArray) -> tuple[IntArray, FloatArray]:
    """Number the distinct lengths of a crystal: index per edge (E,) and mean length (L,), Å."""
    order = np.argsort(distances, kind="stable")
    ordered = distances[order]
    is_gap = np.diff(ordered) > LENGTH_TOLERANCE
    starts = np.flatnonzero(np.concatenate([[True], is_gap]))
    shortest = np.repeat(ordered[starts], np.diff([*starts, ordered.shape[0]]))
    slices = ((ordered - shortest) / _LENGTH_SPREAD).astype(np.int64)
    steps = np.empty(ordered.shape[0], dtype=np.int64)
    steps[0] = 0
    np.cumsum(is_gap | (np.diff(slices) != 0), out=steps[1:])
    index = np.empty_like(steps)
    index[order] = steps
    return index, np.bincount(steps, weights=ordered) / np.bincount(steps)


def refine(atomic_numbers: IntArray, edges: NeighbourList, lengths: IntArray) -> IntArray:
    """Class of each atom, (N,) numbered from 0: the coarsest partition stable under refinement."""
    _, colours = np.unique(atomic_numbers, return_inverse=True)
    n_colours = int(colours.max()) + 1
    starts = np.flatnonzero(np.diff(edges.centre, prepend=-1))
    # Weights are a function of the sorted distances of the centre; they are part of the colour all the same, so that
    # rounding at the tie tolerance cannot merge atoms whose messages differ.
    labels = lengths * 4096 + np.rint(edges.weights * 2048).astype(np.int64)
    mixed_labels = _mix(labels.astype(np.uint64))
    while n_colours < atomic_numbers.shape[0]:
        messages = _mix(mixed_labels + _mix(colours[edges.neighbour].astype(np.uint64) + np.uint64(7)))
        signature = np.add.reduceat(messages, starts)
        signature = _mix(signature + _mix(colours.astype(np.uint64) + np.uint64(13)))
        _, refined = np.unique(signature, return_inverse=True)
        n_refined = int(refined.max()) + 1
        if n_refined == n_colours:
            break
        colours, n_colours = refined, n_refined
    return colours


def _mix(values: HashArray) -> HashArray:
    """A 64-bit finaliser (splitmix64): sums of mixed values identify multisets."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
