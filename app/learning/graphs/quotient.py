"""Atoms with equal surroundings become one node: the same prediction from a smaller graph.

A message-passing network that sees only elements and distances gives equal features to atoms that colour refinement
(the 1-dimensional Weisfeiler-Leman test) cannot tell apart. Symmetry-equivalent atoms are among those. So one
representative of each class is enough: its edges lead to the classes of its neighbours, edges of equal length
to one class are counted instead of repeated, and pooling weighs each node by the size of its class. A supercell, or
any other cell of the same crystal, has the same quotient.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.learning.graphs.neighbours import NeighbourList

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]

LENGTH_TOLERANCE = 2e-5
"""Å. Distances are one length where they follow each other more closely than this."""
_LENGTH_SPREAD = 10 * LENGTH_TOLERANCE
"""Å. Nor may one length be broader than this: in large cells with small displacements all distances follow closely."""
_WEIGHT_STEPS = 2048
_N_HASHES = 1 << 14


class Partition(NamedTuple):
    """Equal values of an array (N,) as classes numbered by value.

    order (N,) sorts the values; starts (C,) where each class begins in that order; members (N,) class of each value.
    """

    order: IntArray
    starts: IntArray
    members: IntArray

    @property
    def n_classes(self) -> int:
        return int(self.starts.shape[0])

    @property
    def representatives(self) -> IntArray:
        """One member of each class, (C,)."""
        return self.order[self.starts]

    @property
    def sizes(self) -> IntArray:
        """(C,)"""
        return run_lengths(self.starts, self.order.shape[0])


def run_lengths(starts: IntArray, end: int) -> IntArray:
    """Lengths of the runs that begin at `starts` (C,), the last of which stops before `end`."""
    lengths = np.empty_like(starts)
    lengths[:-1] = starts[1:]
    lengths[-1] = end
    lengths -= starts
    return lengths


def partition(values: npt.NDArray[np.generic]) -> Partition:
    """What `np.unique` gives with all its outputs, in a third of the time for short arrays."""
    order = values.argsort()
    ordered = values[order]
    begins = np.empty(order.shape[0], dtype=bool)
    begins[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    members = np.empty_like(order)
    members[order] = begins.cumsum() - 1
    return Partition(order, begins.nonzero()[0], members)


def equal_lengths(distances: FloatArray) -> Partition:
    """The distinct lengths of a crystal, of its edges' distances (E,), Å."""
    order = distances.argsort()
    ordered = distances[order]
    begins = np.empty(ordered.shape[0], dtype=bool)
    begins[0] = True
    np.greater(ordered[1:] - ordered[:-1], LENGTH_TOLERANCE, out=begins[1:])
    shortest = ordered[begins][begins.cumsum() - 1]
    slices = ((ordered - shortest) / _LENGTH_SPREAD).astype(np.int64)
    begins[1:] |= slices[1:] != slices[:-1]
    members = np.empty_like(order)
    members[order] = begins.cumsum() - 1
    return Partition(order, begins.nonzero()[0], members)


def refine(atomic_numbers: IntArray, edges: NeighbourList, lengths: IntArray) -> Partition:
    """The coarsest partition of the atoms that is stable under refinement.

    A multiset of (length, colour of the neighbour) is told by sum_e a[length_e] b[colour_e] modulo 2^64 with fixed
    random a and b: two different multisets agree with a probability of about 2^-60.
    """
    classes = partition(atomic_numbers)
    # Weights are a function of the sorted distances of the centre; they are part of the label all the same, so that
    # rounding at the tie tolerance cannot merge atoms whose messages differ.
    steps = np.rint(edges.weights * _WEIGHT_STEPS).astype(np.int64)
    labels = _hashes(1, int(lengths.max()))[lengths] * _hashes(2, _WEIGHT_STEPS)[steps]
    while classes.n_classes < atomic_numbers.shape[0]:
        colours = classes.members
        neighbours = _hashes(3, classes.n_classes)[colours][edges.neighbour]
        own = _hashes(4, classes.n_classes)[colours]
        refined = partition(own + np.add.reduceat(labels * neighbours, edges.starts))
        if refined.n_classes == classes.n_classes:
            break
        classes = refined
    return classes


def _hashes(family: int, largest: int) -> HashArray:
    """Fixed random numbers for 0 ... `largest` at least; families are independent."""
    if largest < _N_HASHES:
        return _TABLES[family - 1]
    return _mix(np.arange(largest + 1, dtype=np.uint64), family)


def _mix(values: HashArray, family: int) -> HashArray:
    """A 64-bit finaliser (splitmix64)."""
    z = values + np.uint64(family * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


_TABLES = [_mix(np.arange(_N_HASHES, dtype=np.uint64), family) for family in (1, 2, 3, 4)]
