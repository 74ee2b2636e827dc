"""The pretraining command on a small source made here: graphs cached, rows filtered by rule, model written whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from app.learning.hyperparameters import Hyperparameters
from app.learning.predictor import Predictor
from app.learning.pretraining import pretrain
from app.learning.recipes import RECIPES, Recipe
from app.learning.release import write_model
from app.learning.training_job import TrainedModel
from app.properties.catalogue import get_property
from app.registry.card import render_card
from app.registry.manifest import Manifest
from tests.crystals import rocksalt
from tests.datasets.tables import cif_of

PAIRS = [
    (a, x) for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "I", "O", "S", "Se")
]


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """56 rocksalts, one unreadable CIF, one unlabelled row; as many compositions, one of them broken."""
    folder = tmp_path / "kit"
    folder.mkdir()
    cifs = [cif_of(rocksalt(4.5 + 0.03 * i, a, x)) for i, (a, x) in enumerate(PAIRS)] + [
        "not a CIF",
        cif_of(rocksalt(6.4, "Na", "Te")),
    ]
    labels = [-2.0 + 0.02 * i for i in range(len(PAIRS))] + [0.0, None]
    columns = {"cif": cifs, "formation_energy_eV_per_atom": labels}
    pq.write_table(pa.table(columns), folder / RECIPES["cgcnn-formation-energy/1"].file)
    formulas = [f"{a}{x}" for a, x in PAIRS]
    enthalpies = [-198.7, *(-2.0 + 0.02 * i for i in range(1, len(PAIRS)))]
    table = pa.table({"formula": formulas, "formation_enthalpy_eV_per_atom": enthalpies})
    pq.write_table(table, folder / RECIPES["elemnet-formation-energy/1"].file)
    return folder


def run(name: str, kit: Path, work: Path, **changes: object) -> tuple[TrainedModel, list[int]]:
    return run_recipe(RECIPES[f"{name}/1"], kit, work, **changes)


def run_recipe(recipe: Recipe, kit: Path, work: Path, **changes: object) -> tuple[TrainedModel, list[int]]:
    seen: list[int] = []
    overrides = Hyperparameters.model_validate(
        {"max_epochs": 2, "batch_size": 8, "train_fraction": 0.6, "val_fraction": 0.2, **changes}
    )
    model = pretrain(
        recipe, kit, work, work, 0, overrides, "cpu", "xtalforge pretrain", lambda _: None,
        lambda done, total: seen.append(done),
    )  # fmt: skip
    return model, seen


def test_a_structure_model_is_trained_from_cached_graphs_and_written_whole(kit: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    model, seen = run("cgcnn-formation-energy", kit, work)
    assert seen
    training = model.manifest.training
    assert training.n_train + training.n_val + training.n_test == len(PAIRS)
    assert training.filters[0].startswith("1 rows left out")
    again, seen_again = run("cgcnn-formation-energy", kit, work)
    assert not seen_again
    assert again.weights == model.weights
    folder = tmp_path / "store" / "cgcnn-formation-energy" / "1"
    write_model(model, folder)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_text())
    value = Predictor.from_bytes(manifest, (folder / "weights.safetensors").read_bytes()).predict(
        [rocksalt(5.64, "Na", "Cl")]
    )[0]
    assert isinstance(value, float)
    assert len(json.loads((folder / "training_curve.json").read_text())) == 2
    assert "formation energy" in (folder / "MODEL_CARD.md").read_text()
    with pytest.raises(FileExistsError):
        write_model(model, folder)


def test_broken_calculations_are_left_out_and_counted(kit: Path, tmp_path: Path) -> None:
    model, _ = run("elemnet-formation-energy", kit, tmp_path / "work")
    assert (
        "1 rows left out: broken calculations: formation enthalpy beyond 5 eV/atom" in model.manifest.training.filters
    )
    assert model.manifest.metrics.train is not None
    assert model.manifest.metrics.train.max_error < 50


def test_a_composition_model_reads_attributes_and_leaves_out_what_is_no_formula(kit: Path, tmp_path: Path) -> None:
    recipe = RECIPES["elemnet-band-gap/1"]
    formulas = [*(f"{a}{x}" for a, x in PAIRS), "no formula"]
    table = pa.table({"formula": formulas, "band_gap_pbe_eV": np.linspace(0.0, 5.0, len(formulas))})
    pq.write_table(table, kit / recipe.file)
    model, seen = run("elemnet-band-gap", kit, tmp_path / "work")
    assert seen[-1] == len(formulas) and model.manifest.training.filters[0].startswith("1 rows left out")
    assert (model.manifest.input_kind, model.manifest.network["features"]) == ("composition", "physical_attributes")
    mean = safetensors.numpy.load(model.weights)["mean"]
    assert mean.shape == (145,) and mean.any(), "attributes are standardised by the training rows"


def test_metals_are_left_out_of_the_non_metal_model(kit: Path, tmp_path: Path) -> None:
    source = pq.read_table(kit / RECIPES["cgcnn-band-gap/1"].file)
    gaps = np.linspace(0.0, 5.0, source.num_rows)
    pq.write_table(source.append_column("band_gap_pbe_eV", pa.array(gaps)), kit / RECIPES["cgcnn-band-gap/1"].file)
    everything, _ = run("cgcnn-band-gap", kit, tmp_path / "work")
    model, _ = run("cgcnn-band-gap-nonmetal", kit, tmp_path / "work")
    counts = [
        sum((m.manifest.training.n_train, m.manifest.training.n_val, m.manifest.training.n_test))
        for m in (everything, model)
    ]
    assert counts[0] - counts[1] == int(np.sum(gaps <= 0.1))
    assert "no metals" in model.manifest.scope


def test_a_schnet_source_answers_only_when_it_is_named(kit: Path, tmp_path: Path) -> None:
    model, _ = run("schnet-formation-energy", kit, tmp_path / "work")
    assert model.manifest.only_when_named
    assert model.manifest.scope == "Trained on cells of at most 20 atoms: errors on larger ones are not known."
    assert model.manifest.architecture == "schnet" and model.manifest.graph
    assert "only requests that name it" in render_card(model.manifest)
    other, _ = run("cgcnn-formation-energy", kit, tmp_path / "work")
    assert not other.manifest.only_when_named and not other.manifest.scope
    assert "only requests that name it" not in render_card(other.manifest)


def test_a_second_version_goes_on_from_the_first(kit: Path, tmp_path: Path) -> None:
    source = pq.read_table(kit / RECIPES["cgcnn-band-gap/1"].file)
    gaps = pa.array(np.linspace(0.0, 5.0, source.num_rows))
    pq.write_table(source.append_column("band_gap_pbe_eV", gaps), kit / RECIPES["cgcnn-band-gap/1"].file)
    store = tmp_path / "work"
    first, _ = run("cgcnn-band-gap", kit, store)
    write_model(first, store / "cgcnn-band-gap" / "1")
    again = replace(RECIPES["cgcnn-band-gap/2"], always_train=("ClNa",))
    second, _ = run_recipe(again, kit, store)
    assert second.manifest.parent is not None
    assert second.manifest.parent.weights_sha256 == first.manifest.weights_sha256
    assert second.manifest.training.method == "fine_tune"
    assert "all of ClNa in training" in second.manifest.training.split
    assert second.manifest.scaling == first.manifest.scaling


def test_every_recipe_names_a_property_of_the_catalogue_and_splits_alike() -> None:
    splits = {
        (r.hyperparameters.split, r.hyperparameters.train_fraction, r.hyperparameters.val_fraction)
        for r in RECIPES.values()
        if r.architecture == "cgcnn"
    }
    assert len(splits) == 1
    for recipe in RECIPES.values():
        assert get_property(recipe.property_key).unit in {"eV", "eV/atom"}
