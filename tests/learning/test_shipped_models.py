"""Every model that ships: whole, unchanged, and giving the same numbers in every release."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import ArtifactCorrupt
from app.core.settings import PROJECT_ROOT
from app.learning.checkpoints import weights_digest
from app.learning.predictor import Estimate, Predictor
from app.learning.samples import ModelInput
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, InputKind, Manifest
from app.structures.composition import parse_composition
from tests.crystals import COMPOUNDS, other_cell, permuted, rotated, supercell, translated

MODELS = sorted(path.parent for path in (PROJECT_ROOT / "models_store").glob(f"*/*/{MANIFEST_FILE}"))
GOLDEN = json.loads(Path(__file__).with_name("golden_predictions.json").read_text())


def label(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def golden_label(manifest: Manifest, folder: Path) -> str:
    """A version that only adds intervals answers as its parent."""
    parent = manifest.parent
    if parent is None or parent.weights_sha256 != manifest.weights_sha256:
        return label(folder)
    return f"{parent.name}/{parent.version}"


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
    assert asked == {"schnet-formation-energy", "schnet-formation-energy-no-tmo", "cgcnn-denoising"}
    names = {folder.parent.name for folder in MODELS}
    assert names == {
        "cgcnn-formation-energy", "cgcnn-band-gap", "cgcnn-band-gap-nonmetal", "cgcnn-denoising",
        "elemnet-formation-energy", "elemnet-band-gap", "schnet-formation-energy", "schnet-formation-energy-no-tmo",
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
    assert values == pytest.approx(GOLDEN[golden_label(manifest, folder)], abs=2e-4)


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


def champions() -> list[Path]:
    newest = {folder.parent.name: folder for folder in sorted(MODELS, key=lambda folder: int(folder.name))}
    return list(newest.values())


def trusting(folder: Path) -> Predictor:
    manifest, weights = read(folder)
    return Predictor.from_bytes(manifest, weights, (folder / TRUST_FILE).read_bytes())


@pytest.mark.parametrize("folder", champions(), ids=label)
def test_champions_know_their_errors(folder: Path) -> None:
    manifest, _ = read(folder)
    known = manifest.trust
    assert known is not None and known.coverage is not None
    assert known.coverage.n > 1000 and 0.88 <= known.coverage.share <= 0.92
    assert known.size_bytes == (folder / TRUST_FILE).stat().st_size < 700_000
    assert known.highest_level > 0.99 and known.flagged < 0.025
    assert known.rank_correlation_expected is not None and known.rank_correlation_expected > 0.15
    assert known.mae_inside is not None and known.mae_outside is not None and known.mae_outside > 1.2 * known.mae_inside
    for estimate in trusting(folder).estimate([item for _, item in inputs_of(manifest)]):
        assert isinstance(estimate, Estimate) and estimate.assessment is not None
        narrow, wide = (estimate.assessment.interval(level) for level in (0.5, 0.99))
        assert narrow is not None and wide is not None
        assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]
        if manifest.property.key == "band_gap":
            assert wide[0] >= 0


@pytest.mark.parametrize("folder", [f for f in champions() if read(f)[0].graph is not None], ids=label)
def test_intervals_and_domain_do_not_depend_on_how_a_crystal_is_written(folder: Path) -> None:
    predictor = trusting(folder)
    for crystal in list(COMPOUNDS.values())[:6]:
        versions = [crystal, permuted(crystal, 1), supercell(crystal, (2, 1, 2)), other_cell(crystal)]
        found = []
        for estimate in predictor.estimate(versions):
            assert isinstance(estimate, Estimate) and estimate.assessment is not None
            ends = estimate.assessment.interval(0.9)
            assert ends is not None
            found.append((*ends, estimate.assessment.score, *(n.formula for n in estimate.assessment.neighbours(1))))
        for other in found[1:]:
            assert other[:3] == pytest.approx(found[0][:3], rel=1e-3, abs=1e-3)
            assert other[3] == found[0][3]


def test_a_model_without_them_answers_as_before() -> None:
    manifest, weights = read(PROJECT_ROOT / "models_store/cgcnn-formation-energy/1")
    assert manifest.trust is None
    (estimate,) = Predictor.from_bytes(manifest, weights).estimate([COMPOUNDS["NaCl"]])
    assert isinstance(estimate, Estimate) and estimate.assessment is None


def test_intervals_of_another_model_are_refused() -> None:
    manifest, weights = read(PROJECT_ROOT / "models_store/cgcnn-formation-energy/2")
    content = (PROJECT_ROOT / "models_store/elemnet-formation-energy/2" / TRUST_FILE).read_bytes()
    with pytest.raises(ArtifactCorrupt, match="sha256 differs"):
        Predictor.from_bytes(manifest, weights, content)


def test_no_value_is_beyond_what_the_property_allows() -> None:
    """A network may say -0.0001 eV of a metal; a gap is never below 0, nor is a value outside its own interval."""
    model = trusting(PROJECT_ROOT / "models_store" / "cgcnn-band-gap" / "3")
    assert model.trust is not None
    crystals = list(COMPOUNDS.values())
    samples, _ = model.featurise(crystals)
    raw = model.forward(samples)
    bounded = dataclasses.replace(model.trust, lower=float(np.median(raw)))
    narrow = Predictor(model.manifest, model.network, model.device, bounded)
    for found, said in zip(narrow.estimate(crystals), raw, strict=True):
        assert isinstance(found, Estimate) and found.assessment is not None
        lower, upper = found.assessment.interval(0.9) or (0.0, 0.0)
        assert found.value == pytest.approx(max(said, bounded.lower)) and lower <= found.value <= upper
