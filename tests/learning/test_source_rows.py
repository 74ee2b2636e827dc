"""Which rows of a source a model sees: each rule alone, their order, and what the model card says of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.learning.pretraining import prepare_recipe
from app.learning.recipes import RECIPES
from app.learning.row_filter import Only, RowFilter
from app.learning.samples import composition_key
from app.learning.source_rows import SourceRows, file_digest, select_rows
from app.structures.composition import parse_composition
from tests.crystals import rocksalt
from tests.datasets.tables import cif_of

FORMULAS = ["NaCl", "FeO", "Fe2O3", "TiO2", "MgO", "KBr", "CaO", "SiO2", "GaAs", "LiF"]
FLAGS = ["", "Fe", "Fe", "Ti", "", "", "", "", "", ""]
SIZES = [2, 4, 30, 6, 8, 2, 2, 9, 2, 2]
LABELS = [-2.0, -1.4, -1.7, np.nan, -3.0, -2.1, -3.3, -3.2, -0.4, -3.2]


@pytest.fixture
def source(tmp_path: Path) -> SourceRows:
    """Ten rows; the file has one more in front, which could not be read."""
    path = tmp_path / "source.parquet"
    pq.write_table(pa.table({"formula": ["?", *FORMULAS], "flag": ["Fe", *FLAGS]}), path)
    keys = [composition_key(parse_composition(formula)) for formula in FORMULAS]
    return SourceRows(path, np.arange(1, 11), np.array(LABELS), keys, np.array(SIZES))


def kept(rules: RowFilter, source: SourceRows) -> list[str]:
    chosen, _ = select_rows(rules, source)
    return [FORMULAS[index] for index in chosen]


def test_without_rules_every_labelled_row_stays(source: SourceRows) -> None:
    chosen, lines = select_rows(RowFilter(), source)
    assert [FORMULAS[index] for index in chosen] == [f for f in FORMULAS if f != "TiO2"]
    assert lines == ("1 rows left out: no label",)


def test_each_rule_leaves_out_what_it_names(source: SourceRows) -> None:
    assert kept(RowFilter(lower=-3.2, upper=-2.0, bound_reason="why"), source) == ["NaCl", "MgO", "KBr"]
    assert kept(RowFilter(max_sites=2), source) == ["NaCl", "KBr", "CaO", "GaAs", "LiF"]
    oxides = (Only("flag", "", "oxides of Fe or Ti"),)
    assert kept(RowFilter(only=oxides), source) == ["NaCl", "MgO", "KBr", "CaO", "SiO2", "GaAs", "LiF"]
    assert "GaAs" not in kept(RowFilter(without_formulas=frozenset({"AsGa"})), source)


def test_formulas_of_a_file_are_left_out_however_they_are_written(source: SourceRows) -> None:
    target = source.path.parent / "target.parquet"
    pq.write_table(pa.table({"formula": ["ClNa", "O6Fe4", "not a formula", "Ca4O4"]}), target)
    rules = RowFilter(without_formulas_of=(target.name,))
    chosen, lines = select_rows(rules, source)
    names = {FORMULAS[index] for index in chosen}
    assert names == set(FORMULAS) - {"TiO2", "NaCl", "Fe2O3", "CaO"}
    assert lines[-1] == f"3 rows left out: formulas of target.parquet (sha256 {file_digest(target)})"
    with pytest.raises(FileNotFoundError):
        select_rows(RowFilter(without_formulas_of=("absent.parquet",)), source)


def test_a_row_counts_for_the_first_rule_that_leaves_it_out(source: SourceRows) -> None:
    rules = RowFilter(max_sites=20, only=(Only("flag", "", "oxides of Fe or Ti"),), without_formulas=frozenset({"FeO"}))
    _, lines = select_rows(rules, source)
    assert lines == (
        "1 rows left out: no label",
        "1 rows left out: more than 20 sites",
        "1 rows left out: oxides of Fe or Ti",
        "0 rows left out: 1 formulas given one by one",
    )


def test_a_random_subset_is_that_of_its_seed_and_lies_in_larger_ones(source: SourceRows) -> None:
    few, lines = select_rows(RowFilter(n_rows=3), source)
    more, _ = select_rows(RowFilter(n_rows=6), source)
    assert len(few) == 3 and set(few) < set(more)
    assert list(few) == sorted(few)
    assert lines[-1] == "6 rows left out: not among 3 drawn at random (seed 0)"
    others = [tuple(select_rows(RowFilter(n_rows=3, seed=seed), source)[0]) for seed in range(5)]
    assert len(set(others)) > 1
    with pytest.raises(ValueError, match=r"10 rows are wanted of source\.parquet, but only 9 are left"):
        select_rows(RowFilter(n_rows=10), source)


def test_bounds_need_a_reason() -> None:
    with pytest.raises(ValueError, match="bound_reason"):
        RowFilter(lower=0.1)


def test_a_recipe_says_in_its_filters_what_it_left_out(tmp_path: Path) -> None:
    recipe = RECIPES["schnet-formation-energy-no-tmo/1"]
    pairs = [("Na", "Cl"), ("Mg", "O"), ("Fe", "O"), ("K", "Br")]
    columns = {
        "cif": [cif_of(rocksalt(4.4 + 0.3 * i, *pair)) for i, pair in enumerate(pairs)],
        "oxide_tm": ["", "", "Fe", ""],
        recipe.label_column: [-2.0, -3.0, -1.4, -2.1],
    }
    pq.write_table(pa.table(columns), tmp_path / recipe.file)
    pq.write_table(pa.table({"formula": ["BrK"]}), tmp_path / recipe.rows.without_formulas_of[0])
    prepared = prepare_recipe(recipe, tmp_path / recipe.file, tmp_path, lambda _done, _total: None)
    assert prepared.keys == ["ClNa", "MgO"]
    assert prepared.elements == ["O", "Na", "Mg", "Cl"]
    assert [line.split(" (")[0] for line in prepared.filters] == [
        "0 rows left out: their input could not be used",
        "0 rows left out: no label",
        "0 rows left out: more than 20 sites",
        "1 rows left out: oxides of Fe, Ti, V, Cr or Mn",
        "1 rows left out: formulas of target_tmo_fe_ti_v_cr_mn_11825.parquet",
    ]
    larger = replace(recipe, rows=replace(recipe.rows, max_sites=4))
    assert not prepare_recipe(larger, tmp_path / recipe.file, tmp_path, lambda _done, _total: None).keys
