"""The protocol of Lee & Asahi 2021 is what it says; with the data kit also that its rows are fit and strict."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.learning.methods import Method
from app.learning.samples import composition_key
from app.learning.source_rows import SourceRows, select_rows
from app.registry.manifest import Architecture
from app.reproduction.protocols import Protocol, Target, get_protocol
from app.reproduction.tl_cgcnn import AUTO, DEFAULT_SCRATCH, SCRATCH
from app.reproduction.tl_cgcnn_rows import POOLS, SOURCE_FILE, candidates, pool_formulas
from app.reproduction.trials import Places, make_trial
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal

KIT = os.environ.get("XTALFORGE_DATA_KIT")
needs_kit = pytest.mark.skipif(KIT is None, reason="XTALFORGE_DATA_KIT names no folder with the data")
TABLE_S2 = ("500-NM-Eg", "500-NM-dEf", "500-K_VRH", "500-NM-eps", "180-NM-GW-Eg")


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return get_protocol("tl-cgcnn")


def target_of(protocol: Protocol, name: str) -> Target:
    return next(target for target in protocol.targets if target.name == name)


@pytest.mark.parametrize("name", TABLE_S2)
def test_every_system_of_table_s2_is_there(protocol: Protocol, name: str) -> None:
    target = target_of(protocol, name)
    assert target.n_trials == 10
    assert target.n_val == target.n_test == target.n_train // 4
    methods = {system.method for system in target.systems}
    networks = {Method.SCRATCH, Method.FINE_TUNE, Method.FREEZE}
    baselines = {Method.PLS, Method.LASSO, Method.SVR, Method.RANDOM_FOREST, Method.SOAP_RIDGE}
    assert methods == networks | baselines | {Method.AUTO}
    published = target.published[target.measures[0].key]
    assert set(published) <= {system.line for system in target.systems}
    assert {SCRATCH, DEFAULT_SCRATCH, AUTO} == set(target.references)


def test_sources_are_known_and_strict_ones_say_so(protocol: Protocol) -> None:
    for target in protocol.targets:
        for system in target.systems:
            if system.source is not None:
                assert system.source in protocol.sources
                assert system.strict == system.source.endswith("-strict")
            assert set(system.candidates) <= set(protocol.sources)
            assert all(name.endswith("-strict") == system.strict for name in system.candidates)


def test_names_of_lines_are_unique(protocol: Protocol) -> None:
    for target in protocol.targets:
        cells = [(system.line, system.strict) for system in target.systems]
        assert len(cells) == len(set(cells))
    assert len({target.name for target in protocol.targets}) == len(protocol.targets)


def test_the_papers_settings(protocol: Protocol, tmp_path: Path) -> None:
    target = target_of(protocol, "500-K_VRH")
    for name in target.files:
        (tmp_path / name).write_text("")
    places = Places(tmp_path, Path("models_store"), tmp_path)
    chosen = {
        s.line: make_trial(protocol, target, s, 0, places).hyperparameters
        for s in target.systems
        if s.line in (SCRATCH, "TL all-dEf, paper") and not s.strict
    }
    scratch, transfer = chosen[SCRATCH], chosen["TL all-dEf, paper"]
    assert (scratch.learning_rate, scratch.hidden_dim, scratch.optimizer, scratch.loss) == (0.01, 128, "sgd", "mae")
    assert (transfer.learning_rate, transfer.hidden_dim) == (0.005, 64)
    # The paper's loader makes batches of 256 and 244 of 500 rows; equal ones are the nearest.
    assert (scratch.batch_size, scratch.split, scratch.scaling, scratch.max_epochs) == (250, "random", "tanh", 500)


def test_a_quick_run_needs_only_shipped_sources() -> None:
    for target in get_protocol("tl-cgcnn", quick=True).targets:
        assert target.n_rows < 100
        for system in target.systems:
            assert not (system.source or "").endswith("strict")
            assert not any(name.endswith("strict") for name in system.candidates)
            if system.architecture not in (Architecture.BASELINE, Architecture.ENSEMBLE):
                assert system.hyperparameters.max_epochs == 2


@needs_kit
@pytest.mark.parametrize("name", ["500-K_VRH", "180-NM-GW-Eg"])
def test_rows_repeat_and_fill_the_split(protocol: Protocol, name: str) -> None:
    target, kit = target_of(protocol, name), Path(str(KIT))
    first, again, other = (protocol.data(target, seed, kit) for seed in (0, 0, 1))
    assert first.table.row_ids == again.table.row_ids != other.table.row_ids
    parts = np.concatenate([first.split.train, first.split.val, first.split.test])
    assert sorted(parts) == list(range(target.n_rows)) == list(range(len(first.table.items)))
    assert first.name != other.name


@needs_kit
def test_all_trials_of_the_gap_list_share_270_materials(protocol: Protocol) -> None:
    target, kit = target_of(protocol, "180-NM-GW-Eg"), Path(str(KIT))
    rows = [set(protocol.data(target, seed, kit).table.row_ids) for seed in (0, 1)]
    assert len(rows[0] & rows[1]) >= 269


@needs_kit
def test_a_strict_source_has_no_formula_of_a_trial(protocol: Protocol) -> None:
    kit = Path(str(KIT))
    make = protocol.sources["10k-dEf-strict"].recipe
    assert make is not None
    rules = make(kit).rows
    assert rules.n_rows == 11_765
    assert {POOLS[key].file for key in ("k_vrh", "band_gap_gllbsc", "dielectric_total")} == set(
        rules.without_formulas_of
    )
    target = target_of(protocol, "500-NM-Eg")
    items = protocol.data(target, 7, kit).table.items
    formulas = {composition_key(item) for item in items if isinstance(item, Crystal)}
    assert formulas <= rules.without_formulas == pool_formulas(POOLS["formation_energy_per_atom"], kit)
    assert len(candidates(POOLS["band_gap"], kit)) == 9_000


@needs_kit
def test_there_are_rows_for_every_small_source(protocol: Protocol) -> None:
    kit = Path(str(KIT))
    columns = pq.read_table(kit / SOURCE_FILE, columns=["formula", "nsites"]).to_pydict()
    keys = {text: composition_key(parse_composition(text)) for text in set(columns["formula"])}
    for name in ("10k-dEf", "10k-dEf-strict", "10k-NM-Eg", "10k-NM-Eg-strict"):
        make = protocol.sources[name].recipe
        assert make is not None
        recipe = make(kit)
        labels = pq.read_table(kit / SOURCE_FILE, columns=[recipe.label_column]).column(0).to_numpy()
        rows = SourceRows(
            kit / SOURCE_FILE, np.arange(len(labels)), labels.astype(np.float64),
            [keys[text] for text in columns["formula"]], np.array(columns["nsites"]),
        )  # fmt: skip
        assert len(select_rows(recipe.rows, rows)[0]) == 11_765
