"""Every model that ships: whole, unchanged, and giving the same numbers in every release."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.settings import PROJECT_ROOT
from app.learning.checkpoints import weights_digest
from app.learning.predictor import Predictor
from app.learning.samples import ModelInput
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, WEIGHTS_FILE, InputKind, Manifest
from app.structures.composition import parse_composition
from tests.crystals import COMPOUNDS, other_cell, permuted, rotated, supercell, translated

MODELS = sorted(path.parent for path in (PROJECT_ROOT / "models_store").glob(f"*/*/{MANIFEST_FILE}"))
GOLDEN = json.loads(Path(__file__).with_name("golden_predictions.json").read_text())


def label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def read(folder: Path) -> tuple[Manifest, bytes]:
    return Manifest.model_validate_json((folder / MANIFEST_FILE).read_text()), (folder / WEIGHTS_FILE).read_bytes()


def inputs_of(manifest: Manifest) -> Iterator[tuple[str, ModelInput]]:
    for name, crystal in COMPOUNDS.items():
        if manifest.input_kind is InputKind.STRUCTURE:
            yield name, crystal
        else:
            yield name, parse_composition(crystal.reduced_formula)


def test_these_models_ship_and_sources_for_transfer_answer_only_when_named() -> None:
    asked = {folder.parent.name for folder in MODELS if read(folder)[0].only_when_named}
    assert asked == {folder.parent.name for folder in MODELS if folder.parent.name.startswith("schnet-")}
    names = {folder.parent.name for folder in MODELS}
    assert names == {
        "cgcnn-formation-energy", "cgcnn-band-gap", "cgcnn-band-gap-nonmetal", "elemnet-formation-energy",
        "schnet-formation-energy-no-tmo",
    }  # fmt: skip


@pytest.mark.parametrize("folder", MODELS, ids=label)
def test_manifest_weights_and_card_belong_together(folder: Path) -> None:
    manifest, weights = read(folder)
    assert manifest.name == folder.parent.name
    assert manifest.weights_sha256 == weights_digest(weights)
    assert manifest.weights_bytes == len(weights)
    assert (folder / CARD_FILE).read_text() == render_card(manifest)
    assert manifest.training.licence
    assert manifest.training.command
    test = manifest.metrics.test
    assert test is not None
    assert test.n > 1000
    assert test.mae < 0.5 * test.mad


@pytest.mark.parametrize("folder", MODELS, ids=label)
def test_predictions_are_the_golden_ones(folder: Path) -> None:
    manifest, weights = read(folder)
    predictor = Predictor.from_bytes(manifest, weights)
    names, items = zip(*inputs_of(manifest), strict=True)
    values = dict(zip(names, predictor.predict(items), strict=True))
    assert values == pytest.approx(GOLDEN[label(folder)], abs=2e-4)


@pytest.mark.parametrize("folder", [f for f in MODELS if read(f)[0].graph is not None], ids=label)
def test_predictions_do_not_depend_on_how_a_crystal_is_written(folder: Path) -> None:
    manifest, weights = read(folder)
    predictor = Predictor.from_bytes(manifest, weights)
    for crystal in COMPOUNDS.values():
        versions = [
            crystal, permuted(crystal, 1), rotated(crystal, 2), translated(crystal, (0.1, 0.7, 0.4)),
            supercell(crystal, (2, 1, 2)), other_cell(crystal),
        ]  # fmt: skip
        first, *others = predictor.predict(versions)
        assert others == pytest.approx([first] * len(others), abs=1e-5)
