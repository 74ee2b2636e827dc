"""No formula in two parts; sizes; the same formula in the same part of every data set."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.splits import move_to_training, split_rows


@given(st.lists(st.integers(0, 30), min_size=10, max_size=200), st.integers(0, 5))
def test_formula_splits_never_leak_and_cover_all_rows(groups: list[int], seed: int) -> None:
    keys = [f"f{g}" for g in groups]
    for mode in ("formula", "formula_hash"):
        split = split_rows(keys, mode, 0.6, 0.2, seed)
        parts = [{keys[i] for i in rows} for rows in (split.train, split.val, split.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert sorted(np.concatenate([split.train, split.val, split.test]).tolist()) == list(range(len(keys)))


def test_sizes_are_four_one_one_for_distinct_formulas() -> None:
    keys = [f"f{i}" for i in range(750)]
    for mode in ("formula", "random"):
        split = split_rows(keys, mode, 4 / 6, 1 / 6, 0)
        assert [len(split.train), len(split.val), len(split.test)] == [500, 125, 125]


def test_hash_splits_agree_between_data_sets() -> None:
    all_keys = [f"f{i}" for i in range(5000)]
    whole, half = split_rows(all_keys, "formula_hash", 0.85, 0.05, 0), all_keys[::2]
    part = split_rows(half, "formula_hash", 0.85, 0.05, 0)
    assert {half[i] for i in part.test} <= {all_keys[i] for i in whole.test}
    assert abs(len(whole.test) / 5000 - 0.10) < 0.02


def test_named_formulas_always_train() -> None:
    keys = [f"f{i % 20}" for i in range(100)]
    split = move_to_training(split_rows(keys, "formula", 0.6, 0.2, 0), keys, ("f3", "f7", "f11", "not there"))
    held_out = {keys[i] for rows in (split.val, split.test) for i in rows}
    assert not held_out & {"f3", "f7", "f11"}
    assert sorted(np.concatenate([split.train, split.val, split.test]).tolist()) == list(range(100))


def test_seeds_differ_and_repeat() -> None:
    keys = [f"f{i}" for i in range(100)]
    first, again, other = (split_rows(keys, "formula", 0.6, 0.2, seed).train.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_one_formula_of_most_rows_leaves_no_part_empty() -> None:
    keys = ["a"] * 80 + ["b"] * 10 + ["c"] * 10
    for seed in range(20):
        split = split_rows(keys, "formula", 4 / 6, 1 / 6, seed)
        assert sorted((len(split.train), len(split.val), len(split.test))) == [10, 10, 80]


@pytest.mark.parametrize("rare", ["bc", "bcd", "bcdefgh"])
def test_a_formula_of_most_rows_is_for_training(rare: str) -> None:
    for seed in range(20):
        split = split_rows(["a"] * 30 + list(rare), "formula", 4 / 6, 1 / 6, seed)
        assert len(split.train) >= 30
        assert min(len(split.val), len(split.test)) >= 1
