"""Which rows train, which stop the training, which measure it."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Sorted row numbers of each part; disjoint."""

    train: IntArray
    val: IntArray
    test: IntArray


def split_rows(keys: Sequence[str], mode: str, train_fraction: float, val_fraction: float, seed: int) -> Split:
    """Split rows by their composition key.

    `random`: row by row, as the papers do. `formula`: whole formulas, sizes as close as groups allow.
    `formula_hash`: whole formulas by a hash of seed and formula alone, so that a formula falls into the same part in
    every data set; sizes are met on average.
    """
    n = len(keys)
    n_train, n_val = round(train_fraction * n), round(val_fraction * n)
    if mode == "random":
        order = np.random.default_rng(seed).permutation(n)
        return Split(*(np.sort(part) for part in np.split(order, [n_train, n_train + n_val])))
    hashes = {key: _unit_hash(seed, key) for key in set(keys)}
    values = np.array([hashes[key] for key in keys])
    if mode == "formula_hash":
        part = np.digitize(values, [train_fraction, train_fraction + val_fraction])
    else:
        part = _fill_by_group(values, n_train, n_val)
    return Split(*(np.flatnonzero(part == index) for index in range(3)))


def move_to_training(split: Split, keys: Sequence[str], always: Collection[str]) -> Split:
    """The same split with every row of the named keys in training."""
    moved = np.array([key in always for key in keys], dtype=bool)
    kept = [rows[~moved[rows]] for rows in (split.val, split.test)]
    return Split(np.union1d(split.train, np.flatnonzero(moved)), *kept)


def _fill_by_group(values: npt.NDArray[np.float64], n_train: int, n_val: int) -> IntArray:
    """Part of each row: groups in order of their hash fill train, then val, then test."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    group_part = np.digitize(middle, [n_train, n_train + n_val])
    if np.unique(group_part).shape[0] < 3:
        group_part = _fill_by_size(counts, n_train, n_val)
    return np.asarray(group_part[inverse], dtype=np.int64)


def _fill_by_size(counts: IntArray, n_train: int, n_val: int) -> IntArray:
    """Part of each group where few large ones would leave a part empty: from the largest on, to who lacks most."""
    lacking = np.array([n_train, n_val, counts.sum() - n_train - n_val])
    group_part = np.zeros(counts.shape[0], dtype=np.int64)
    for group in np.argsort(-counts, kind="stable"):
        part = int(np.argmax(lacking))
        group_part[group] = part
        lacking[part] -= counts[group]
    return group_part


def _unit_hash(seed: int, key: str) -> float:
    digest = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
