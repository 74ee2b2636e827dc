"""Symmetry operations, and the crystal they make of the listed sites."""

import re
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np

from app.structures.crystal import FloatArray, IntArray

MERGE_DISTANCE = 0.25
"""Copies of one site nearer than this (Å) are one atom on a special position."""

_IMAGES_AT_ONCE = 5_000
_REFINEMENTS = 4
_GRID = 1 << 20
_GRID_OFFSET = 0.3819660112501051
_FACTOR = re.compile(r"(\d)\s*([a-cx-z])", flags=re.IGNORECASE)
"""`2x`, as pymatgen writes it, for `2*x`."""


@dataclass(frozen=True)
class Operations:
    """M symmetry operations x' = R x + t on fractional coordinates: rotations (M, 3, 3), translations (M, 3)."""

    rotations: FloatArray
    translations: FloatArray

    @property
    def count(self) -> int:
        return int(self.rotations.shape[0])

    def times(self, others: "Operations") -> "Operations":
        """Every operation after every other one, e.g. centrings after operations."""
        rotations = np.einsum("aij,bjk->abik", self.rotations, others.rotations).reshape(-1, 3, 3)
        translations = np.einsum("aij,bj->abi", self.rotations, others.translations) + self.translations[:, None, :]
        return Operations(rotations, translations.reshape(-1, 3))


@dataclass(frozen=True)
class ExpandedSites:
    """All atoms of the cell: coordinates (N, 3), origins (N,) the listed site of each, and how far the listed sites
    were moved onto their special positions, (n_listed,), Å."""

    coordinates: FloatArray
    origins: IntArray
    moved: FloatArray


@lru_cache(maxsize=256)
def operations_from_triplets(triplets: tuple[str, ...]) -> Operations:
    """Operations written as `-x+1/2,y,z`, the identity added if it is not among them.

    Raises RuntimeError naming what cannot be read, ValueError for an operation that is no symmetry.
    """
    operations: dict[str, gemmi.Op] = {"x,y,z": gemmi.Op("x,y,z")}
    for text in triplets:
        operation = gemmi.Op(_FACTOR.sub(r"\1*\2", text)).wrap()
        if abs(operation.det_rot()) != operation.DEN**3:
            raise ValueError(text)
        operations[operation.triplet()] = operation
    return _as_arrays(list(operations.values()))


def _as_arrays(operations: list[gemmi.Op]) -> Operations:
    rotations = np.array([op.rot for op in operations], dtype=np.float64) / gemmi.Op.DEN
    translations = np.array([op.tran for op in operations], dtype=np.float64) / gemmi.Op.DEN
    return Operations(rotations, translations)


def metric_mismatch(lattice: FloatArray, operations: Operations) -> float:
    """How far the cell (3, 3) is from having the symmetry: 0 = exactly; 0.05 = lengths off by about 2.5 %."""
    metric = lattice @ lattice.T
    images = operations.rotations.transpose(0, 2, 1) @ metric @ operations.rotations
    lengths = np.sqrt(np.diag(metric))
    return float((np.abs(images - metric) / np.outer(lengths, lengths)).max())


def expand_sites(lattice: FloatArray, coordinates: FloatArray, operations: Operations, most: int) -> ExpandedSites:
    """Apply M operations to the listed sites (n, 3) and merge the copies that fall together.

    A site nearer than MERGE_DISTANCE to a special position is moved onto it first (to the mean of its near copies),
    so that its remaining copies are exact. Once there are more than `most` atoms the remaining sites are left out.
    Work grows with n x M, which is to be bounded before, and memory hardly.
    """
    n_listed = len(coordinates)
    if operations.count == 1:
        return ExpandedSites(coordinates, np.arange(n_listed), np.zeros(n_listed))
    parts: list[ExpandedSites] = []
    n_at_once, n_atoms = max(1, _IMAGES_AT_ONCE // operations.count), 0
    for start in range(0, n_listed, n_at_once):
        part = _expand(lattice, coordinates[start : start + n_at_once], operations)
        parts.append(ExpandedSites(part.coordinates, part.origins + start, part.moved))
        n_atoms += len(part.origins)
        if n_atoms > most:
            break
    if len(parts) == 1:
        return parts[0]
    return ExpandedSites(
        np.concatenate([part.coordinates for part in parts]),
        np.concatenate([part.origins for part in parts]),
        np.concatenate([part.moved for part in parts]),
    )


def _expand(lattice: FloatArray, coordinates: FloatArray, operations: Operations) -> ExpandedSites:
    n_listed = len(coordinates)
    sites, images = coordinates, _images(coordinates, operations)
    for _ in range(_REFINEMENTS):
        shifts = images - sites[:, None, :]
        shifts -= np.round(shifts)
        cartesian = shifts @ lattice
        near = np.einsum("nmk,nmk->nm", cartesian, cartesian) < MERGE_DISTANCE**2
        correction = np.einsum("nm,nmk->nk", near, shifts) / near.sum(axis=1)[:, None]
        if not np.abs(correction).max() > 1e-12:
            break
        sites = sites + correction
        images = _images(sites, operations)
    moved = np.linalg.norm((sites - coordinates) @ lattice, axis=1)
    images = images.reshape(-1, 3)
    keys = (np.floor((images + _GRID_OFFSET) % 1.0 * _GRID).astype(np.int64) % _GRID) @ np.array([1 << 40, 1 << 20, 1])
    origins = np.repeat(np.arange(n_listed), operations.count)
    order = np.lexsort((keys, origins))
    sorted_keys, sorted_origins = keys[order], origins[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (sorted_keys[1:] != sorted_keys[:-1]) | (sorted_origins[1:] != sorted_origins[:-1])
    kept = np.sort(order[first])
    return ExpandedSites(images[kept], origins[kept], moved)


def _images(sites: FloatArray, operations: Operations) -> FloatArray:
    """(n, 3) sites -> (n, M, 3) copies, not wrapped."""
    copies: FloatArray = np.einsum("mij,nj->nmi", operations.rotations, sites) + operations.translations
    return copies
