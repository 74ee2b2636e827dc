"""The protocol of Gupta 2024: the paper's ten rows, ten disjoint folds, the published test rows, a strict source."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.learning.presets import resolve_hyperparameters
from app.learning.samples import composition_key
from app.reproduction.protocols import Target
from app.reproduction.tlrl import FILE, N_FOLDS, STRICT_SOURCE, JarvisFormation, make, strict_recipe
from app.structures.composition import parse_composition

KIT = Path(os.environ.get("XTALFORGE_DATA_KIT", ""))
needs_kit = pytest.mark.skipif(not (KIT / FILE).is_file(), reason=f"{FILE} is not in XTALFORGE_DATA_KIT")


@pytest.fixture(scope="module")
def protocol() -> JarvisFormation:
    made = make(quick=False)
    assert isinstance(made, JarvisFormation)
    return made


def target_of(protocol: JarvisFormation, name: str) -> Target:
    return next(each for each in protocol.targets if each.name == name)


def test_all_ten_rows_of_table_ii_stand_beside_ours(protocol: JarvisFormation) -> None:
    target = target_of(protocol, "cv")
    published = target.published["mae"]
    lines = {system.line for system in target.systems}
    assert len(published) == 10
    assert set(published) <= lines
    assert set(target.references) <= lines
    assert (published["TL+RL:DL(Dense), paper"].mean, published["SC:ML(PA)"].mean) == (0.117, 0.141)
    test = target_of(protocol, "hold-out").published["mae"]
    assert {line: figure.mean for line, figure in test.items()} == {
        "SC:DL(EF), paper": 0.142,
        "RL:DL(Dense), paper": 0.123,
        "TL+RL:DL(Dense), paper": 0.121,
    }


def test_each_row_with_a_source_is_there_strictly_too_and_with_better_settings(protocol: JarvisFormation) -> None:
    systems = target_of(protocol, "cv").systems
    transfers = {(each.line, each.strict) for each in systems if each.source is not None}
    assert {line for line, strict in transfers if strict} == {line for line, strict in transfers if not strict}
    assert {each.source for each in systems if each.strict} == {STRICT_SOURCE}
    networks = {each.line for each in systems if ", " in each.line}
    assert len(networks) == 16
    assert {line.replace(", paper", ", default") for line in networks} == {x for x in networks if "default" in x}


def test_the_papers_settings_are_stated_and_the_default_chooses_its_layer(protocol: JarvisFormation) -> None:
    target = target_of(protocol, "cv")
    settings = {each.line: each for each in target.systems if not each.strict}
    paper = settings["TL+RL:DL(Dense), paper"]
    given = paper.hyperparameters
    resolved = resolve_hyperparameters(paper.architecture, paper.method, given, target.n_rows)
    assert (resolved.optimizer, resolved.schedule, resolved.weight_decay, resolved.layer) == (
        "adam",
        "constant",
        0.0,
        1,
    )
    default = settings["TL+RL:DL(Dense), default"]
    resolved = resolve_hyperparameters(default.architecture, default.method, default.hyperparameters, target.n_rows)
    assert (resolved.layer, resolved.schedule, resolved.batch_size) == ("auto", "one_cycle", 256)
    assert settings["SC:DL(PA), paper"].hyperparameters.features == "physical_attributes"


def test_a_quick_run_is_small_and_needs_no_source_of_its_own() -> None:
    quick = make(quick=True)
    assert all(each.n_rows < 1000 and each.n_trials == 2 for each in quick.targets)
    assert not any(system.strict for each in quick.targets for system in each.systems)


@needs_kit
def test_the_folds_cover_the_development_rows_once_and_leave_the_test_rows_alone(protocol: JarvisFormation) -> None:
    target = target_of(protocol, "cv")
    parts = np.array(pq.read_table(KIT / FILE, columns=["paper_split"]).column(0).to_pylist())
    splits = [protocol.data(target, seed, KIT).split for seed in range(N_FOLDS)]
    measured = np.concatenate([split.test for split in splits])
    assert np.array_equal(np.sort(measured), np.flatnonzero(parts != "test"))
    for split in splits:
        rows = np.concatenate([split.train, split.val, split.test])
        assert len(np.unique(rows)) == len(rows) == target.n_rows
        assert len(split.val) == target.n_val


@needs_kit
def test_the_hold_out_is_the_published_one_for_every_seed(protocol: JarvisFormation) -> None:
    target = target_of(protocol, "hold-out")
    parts = np.array(pq.read_table(KIT / FILE, columns=["paper_split"]).column(0).to_pylist())
    first, second = (protocol.data(target, seed, KIT).split for seed in (0, 1))
    assert np.array_equal(first.test, np.flatnonzero(parts == "test"))
    assert np.array_equal(first.test, second.test)
    assert not np.array_equal(first.val, second.val)
    assert (len(first.train), len(first.val), len(first.test)) == (target.n_train, target.n_val, target.n_test)
    assert np.array_equal(protocol.data(target, 1, KIT).split.train, second.train)


@needs_kit
def test_rows_carry_the_files_labels_and_formulas(protocol: JarvisFormation) -> None:
    data = protocol.data(target_of(protocol, "cv"), 0, KIT)
    file = pq.read_table(KIT / FILE).slice(100, 1).to_pylist()[0]
    assert data.table.row_ids[100] == file["material_id"]
    assert data.table.targets[100] == file["formation_energy_eV_per_atom"]
    assert composition_key(data.table.items[100]) == composition_key(parse_composition(file["formula"]))


def test_the_strict_source_leaves_out_the_targets_file() -> None:
    recipe = strict_recipe(Path())
    assert recipe.rows.without_formulas_of == (FILE,)
    assert (recipe.rows.lower, recipe.rows.upper) == (-5.0, 5.0)
