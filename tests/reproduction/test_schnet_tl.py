"""The oxides of Krawczuk & Venturi: sizes, disjoint parts, equal test rows, and a source that never saw them."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.learning.samples import composition_key
from app.reproduction.protocols import Target
from app.reproduction.schnet_tl import FILE, PERMUTATIONS, Oxides, make, source_recipe
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal

KIT = Path(os.environ.get("XTALFORGE_DATA_KIT", ""))
needs_kit = pytest.mark.skipif(not (KIT / FILE).is_file(), reason=f"{FILE} is not in XTALFORGE_DATA_KIT")


@pytest.fixture(scope="module")
def protocol() -> Oxides:
    made = make(quick=False)
    assert isinstance(made, Oxides)
    return made


def target_of(protocol: Oxides, series: str, n_train: int) -> Target:
    return next(each for each in protocol.targets if (each.series, each.n_train) == (series, n_train))


def test_the_papers_sizes_and_figures(protocol: Oxides) -> None:
    sizes = {(each.series, each.n_train, each.n_test) for each in protocol.targets}
    assert sizes == {
        ("fe-ti-v", 100, 117), ("fe-ti-v", 200, 117), ("fe-ti-v", 400, 117),
        ("fe-ti-v-cr-mn", 125, 163), ("fe-ti-v-cr-mn", 250, 163), ("fe-ti-v-cr-mn", 500, 163),
    }  # fmt: skip
    for target in protocol.targets:
        lines = {system.line for system in target.systems}
        assert set(target.published["mae_total"]) <= lines
        assert set(target.references) <= lines
    assert target_of(protocol, "fe-ti-v", 400).published["mae_total"]["TL1"].mean == 0.477


def test_systems_are_the_papers_and_those_of_the_default_preset(protocol: Oxides) -> None:
    systems = {(s.line, s.strict): s for s in target_of(protocol, "fe-ti-v", 400).systems}
    paper = systems["TL2", True].hyperparameters
    assert (paper.preset, paper.weight_decay, systems["TL2", True].method) == ("paper", 1e-3, "tl2")
    assert systems["No TL, arch 2", False].hyperparameters.weight_decay == 0.0
    assert systems["No TL, arch 2 + L2", False].hyperparameters.network == "schnet-2"
    assert systems["TL1, default preset", True].source == systems["TL1", True].source
    assert systems["TL1", False].source != systems["TL1", True].source
    assert all(system.source is not None or not system.strict for system in systems.values())


def test_a_quick_run_is_small() -> None:
    quick = make(quick=True)
    assert all(each.n_train < 200 and each.n_trials == 2 for each in quick.targets)
    assert all(s.hyperparameters.max_epochs == 2 for each in quick.targets for s in each.systems)


@needs_kit
def test_parts_of_a_deal_share_the_test_rows_and_nothing_else(protocol: Oxides) -> None:
    target = target_of(protocol, "fe-ti-v", 100)
    assert target.n_trials == PERMUTATIONS * 4
    trials = [protocol.data(target, seed, KIT) for seed in range(5)]
    first = trials[0].split
    used: set[int] = set()
    for trial in trials[:4]:
        assert list(trial.split.test) == list(first.test) and list(trial.split.val) == list(first.val)
        assert not used & set(trial.split.train)
        used |= set(trial.split.train.tolist())
    whole = protocol.data(target_of(protocol, "fe-ti-v", 400), 0, KIT).split
    assert used == set(whole.train) and list(whole.test) == list(first.test)
    assert list(trials[4].split.test) != list(first.test)


@needs_kit
@pytest.mark.parametrize(("series", "n_train"), [("fe-ti-v", 400), ("fe-ti-v-cr-mn", 500)])
def test_rows_are_oxides_of_the_metals_each_of_its_own_formula(protocol: Oxides, series: str, n_train: int) -> None:
    target = target_of(protocol, series, n_train)
    data = protocol.data(target, 0, KIT)
    parts = [data.split.train, data.split.val, data.split.test]
    assert [len(part) for part in parts] == [target.n_train, target.n_val, target.n_test]
    assert sorted(row for part in parts for row in part) == list(range(target.n_rows))
    assert len({composition_key(item) for item in data.table.items}) == target.n_rows
    n_more = 0
    for item in data.table.items:
        assert isinstance(item, Crystal) and item.n_sites <= 20
        symbols = set(item.element_counts)
        assert "O" in symbols and symbols & {"Fe", "Ti", "V", "Cr", "Mn"}
        n_more += bool(symbols & {"Cr", "Mn"})
    assert n_more == (0 if series == "fe-ti-v" else 146)


@needs_kit
def test_the_source_has_no_formula_of_the_targets(protocol: Oxides) -> None:
    recipe = source_recipe(KIT)
    largest = protocol.data(target_of(protocol, "fe-ti-v-cr-mn", 500), 0, KIT)
    assert recipe.rows.without_formulas == {composition_key(item) for item in largest.table.items}
    others = pq.read_table(KIT / FILE, columns=["formula"]).column(0).to_pylist()
    assert any(composition_key(parse_composition(f)) not in recipe.rows.without_formulas for f in others)
    smaller = protocol.data(target_of(protocol, "fe-ti-v", 400), 0, KIT)
    assert {composition_key(item) for item in smaller.table.items} < recipe.rows.without_formulas
