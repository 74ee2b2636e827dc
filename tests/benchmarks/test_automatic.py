"""Rows that the benchmark of `auto` draws."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.learning.representations import representation_for
from app.learning.tables import prepare
from app.registry.manifest import Architecture
from benchmarks.automatic import TARGETS, Target, table_of, with_split

FORMULAS = ["NaCl", "KCl", "LiF", "MgO", "CaO", "NaCl", "SrO", "KBr", "NaBr", "LiCl", "MgO", "BaO"]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    table = pa.table({"formula": FORMULAS, "gap": [float(row) for row in range(len(FORMULAS))]})
    pq.write_table(table, tmp_path / "gaps.parquet")
    return tmp_path


def _drawn(target: Target, kit: Path, seed: int) -> tuple[list[str], list[str]]:
    table, _, share = table_of(target, kit, seed)
    n_fitted = round(share * len(table.targets))
    return list(table.row_ids[:n_fitted]), list(table.row_ids[n_fitted:])


def test_each_row_measures_in_one_fold_and_no_formula_trains_there(kit: Path) -> None:
    target = Target("gaps.parquet", "gap", TARGETS["expt_gap"].property_key, 0, n_folds=5)
    measured = []
    for fold in range(5):
        fitted, rest = _drawn(target, kit, fold)
        assert not {FORMULAS[int(row)] for row in fitted} & {FORMULAS[int(row)] for row in rest}
        measured += rest
        assert sorted(fitted + rest, key=int) == [str(row) for row in range(len(FORMULAS))]
    assert sorted(measured, key=int) == [str(row) for row in range(len(FORMULAS))]


def test_draws_differ_by_seed_and_have_the_rows_asked_for(kit: Path) -> None:
    target = Target("gaps.parquet", "gap", TARGETS["expt_gap"].property_key, 6)
    draws = [_drawn(target, kit, seed) for seed in range(3)]
    assert all(len(fitted) == 6 for fitted, _ in draws) and len({tuple(fitted) for fitted, _ in draws}) == 3
    assert draws[0] == _drawn(target, kit, 0)


def test_one_composition_spelled_in_two_ways_is_on_one_side(tmp_path: Path) -> None:
    spelled = [f"{a}{x}" for a in ("Na", "K", "Rb", "Li", "Cs", "Ag") for x in ("F", "Cl", "Br", "I")]
    spelled += [f"{x}{a}" for a in ("Na", "K", "Rb", "Li", "Cs", "Ag") for x in ("F", "Cl", "Br", "I")]
    pq.write_table(pa.table({"formula": spelled, "gap": [float(i) for i in range(48)]}), tmp_path / "gaps.parquet")
    target = Target("gaps.parquet", "gap", TARGETS["expt_gap"].property_key, 36)
    table, _, share = table_of(target, tmp_path, 0)
    assert len(table.targets) == 48
    prepared = with_split(prepare(table, representation_for(Architecture.ELEMNET, {})), share, 0)
    assert prepared.split is not None
    fitted, measured = (
        {prepared.keys[row] for row in rows}
        for rows in (np.union1d(prepared.split.train, prepared.split.val), prepared.split.test)
    )
    assert fitted and not fitted & measured
