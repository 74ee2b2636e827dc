"""Checkpoints of the original CGCNN code: the same predictions, nothing run, all else refused with its reason."""

import hashlib
import json
import tempfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import StructureTooLarge
from app.learning.graphs.crystal_graph import build_crystal_graph
from app.learning.graphs.neighbours import TooFewNeighbours, find_neighbours
from app.learning.graphs.settings import GraphSettings
from app.learning.importing import PROPERTY_KEYS, PUBLISHED, import_checkpoint
from app.learning.networks.element_features import element_features
from app.learning.original_cgcnn import ORIGINAL_GRAPH, CheckpointRefused, read_checkpoint
from app.learning.predictor import Predictor
from app.properties.catalogue import Transform, get_property
from app.registry.card import render_card
from app.structures.crystal import Crystal
from app.structures.reader import read_structures
from tests.crystals import COMPOUNDS, supercell
from tests.learning.original_network import OriginalNetwork, checkpoint, nearest_rows, random_network, saved

AGREEMENT = 1e-4


def shaken(crystal: Crystal, seed: int = 0) -> Crystal:
    """A crystal of the same kind without any two equal distances."""
    generator = np.random.default_rng(seed)
    strain = np.eye(3) + generator.normal(scale=0.02, size=(3, 3))
    moved = crystal.fractional_coordinates + generator.normal(scale=0.01, size=crystal.fractional_coordinates.shape)
    return Crystal(crystal.lattice @ strain, moved, crystal.atomic_numbers)


SHAKEN = [shaken(crystal, seed) for seed, crystal in enumerate(COMPOUNDS.values())]


def on_label_scale(predictor: Predictor, crystals: list[Crystal]) -> list[float]:
    """Predictions as the original code gives them, log10(GPa) for moduli."""
    values = [value for value in predictor.predict(crystals) if isinstance(value, float)]
    assert len(values) == len(crystals)
    return np.log10(values).tolist() if predictor.manifest.property.transform is Transform.LOG10 else values


def refusal(document: object) -> str:
    with pytest.raises(CheckpointRefused) as caught:
        read_checkpoint(document if isinstance(document, bytes) else saved(document))
    return caught.value.detail


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"hidden": 24, "n_hidden": 3}, {"width": 5, "hidden": 11, "n_conv": 4}])
def test_predictions_are_those_of_the_original_network(sizes: dict[str, int], legacy: bool) -> None:
    network = random_network(**sizes)
    model = import_checkpoint(saved(checkpoint(network), legacy), "moduli")
    expected = [network.predict(crystal) * 0.25 + 1.5 for crystal in SHAKEN]
    assert np.ptp(expected) > 100 * AGREEMENT
    predictor = Predictor.from_bytes(model.manifest, model.weights)
    np.testing.assert_allclose(on_label_scale(predictor, SHAKEN), expected, atol=1e-5)


def test_the_same_of_crystals_full_of_ties() -> None:
    network = random_network(3)
    model = import_checkpoint(saved(checkpoint(network)), "moduli")
    crystals = list(COMPOUNDS.values())
    found = on_label_scale(Predictor.from_bytes(model.manifest, model.weights), crystals)
    np.testing.assert_allclose(found, [network.predict(crystal) * 0.25 + 1.5 for crystal in crystals], atol=AGREEMENT)


def test_the_manifest_says_what_is_known_and_no_more() -> None:
    content = saved(checkpoint(random_network()))
    manifest = import_checkpoint(content, "moduli").manifest
    assert (manifest.property.key, manifest.property.unit) == ("k_vrh", "GPa")
    assert manifest.property.transform is Transform.LOG10
    assert (manifest.scaling.mean, manifest.scaling.std) == (1.5, 0.25)
    assert manifest.metrics.test is None and manifest.metrics.val is None
    assert (manifest.elements, manifest.training.seed, manifest.training.n_train) == ([], None, 60)
    card = render_card(manifest)
    assert hashlib.sha256(content).hexdigest() in card
    for sentence in ("Not measured", "0.25 log10(GPa)", "someone this installation does not know", "not recorded"):
        assert sentence in card
    assert "seed" not in card and "errors above" not in card


def test_what_newer_files_have_is_read_too() -> None:
    network = random_network()
    tensors = {"mean": torch.tensor(1.5), "std": torch.tensor(0.25)}
    state = OrderedDict(network.state_dict())
    assert any(name.endswith("num_batches_tracked") for name in state)
    document = checkpoint(
        network, normalizer=tensors, state_dict=state, best_mae_error=np.float64(0.125), extra=np.float32(2.0)
    )
    allowed = torch.serialization.get_safe_globals()
    for legacy in (True, False):
        read = read_checkpoint(saved(document, legacy))
        assert (read.scaling.mean, read.scaling.std, read.validation_mae) == (1.5, 0.25, 0.125)
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


def test_a_property_of_ones_own() -> None:
    arguments = {"task": "regression", "data_options": ["my_folder"]}
    content = saved(checkpoint(random_network(), args=arguments))
    with pytest.raises(CheckpointRefused, match="say which one"):
        import_checkpoint(content, "mine")
    manifest = import_checkpoint(content, "mine", get_property("g_vrh"), Transform.IDENTITY).manifest
    assert (manifest.property.key, manifest.property.transform) == ("g_vrh", Transform.IDENTITY)
    assert manifest.training.n_train == 0 and "not recorded" in render_card(manifest)


def test_names_and_contradictions() -> None:
    content = saved(checkpoint(random_network()))
    with pytest.raises(CheckpointRefused, match="give the model a name"):
        import_checkpoint(content)
    with pytest.raises(CheckpointRefused, match=r"bulk_moduli, which is k_vrh here, not g_vrh"):
        import_checkpoint(content, "moduli", get_property("g_vrh"))


class Bomb:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return tempfile.mkdtemp, ("", "", str(self.folder))


@pytest.mark.parametrize("legacy", [True, False])
def test_nothing_in_a_file_is_run(tmp_path: Path, legacy: bool) -> None:
    reason = refusal(saved(checkpoint(random_network(), epoch=Bomb(tmp_path)), legacy))
    assert "tempfile.mkdtemp, which is no plain data" in reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), np.complex128(1j), np.str_("x"), np.datetime64(0, "s")])
def test_other_numpy_objects_are_not_made(value: object) -> None:
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        read_checkpoint(saved(checkpoint(random_network(), best_mae_error=value)))


def test_a_numpy_type_is_a_stand_in() -> None:
    document = checkpoint(random_network(), best_mae_error=np.dtype([("a", "O")]))
    assert read_checkpoint(saved(document)).validation_mae is None


def test_files_of_another_kind() -> None:
    content = saved(checkpoint(random_network()))
    for damaged in (b"", b"hello", b"\x80\x02.", content[:100], content[: len(content) // 2], saved([1, 2]), saved({})):
        assert refusal(damaged).startswith(("It cannot be read", "It is no checkpoint"))


@given(st.integers(0, 3000), st.integers(0, 255))
def test_damaged_files_are_refused_or_read(position: int, byte: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[position % len(damaged)] = byte
    with suppress(CheckpointRefused):
        read_checkpoint(bytes(damaged))


CONTENT = saved(checkpoint(random_network(width=2, n_conv=1, hidden=1)))


def changed_state(**changes: torch.Tensor | None) -> dict[str, Any]:
    """The state of a random network; None removes an entry."""
    state = checkpoint(random_network())["state_dict"] | {name.replace("__", "."): v for name, v in changes.items()}
    return {name: value for name, value in state.items() if value is not None}


NAN = torch.full((1, 6), torch.nan)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"args": {"task": "classification"}}, "trained for classification"),
        ({"args": {"radius": 6}}, "radius = 6; only 8"),
        ({"args": {"enable_tanh": True}}, "enable_tanh = True"),
        ({"args": None}, "no dictionary args"),
        ({"normalizer": {"mean": 0.0, "std": 0.0}}, "mean and standard deviation"),
        ({"normalizer": {"mean": float("nan"), "std": 1.0}}, "mean and standard deviation"),
        ({"state_dict": changed_state(conv_to_fc__bias=None)}, r"hidden.0.bias here is missing"),
        ({"state_dict": changed_state(embedding__weight=None)}, "no matrix embedding.weight"),
        ({"state_dict": changed_state(embedding__weight=torch.ones(8, 118))}, "118 numbers an element"),
        ({"state_dict": changed_state(convs__0__fc_full__weight=torch.ones(16, 46))}, "30 Gaussians"),
        ({"state_dict": changed_state(fc_out__weight=torch.ones(2, 6))}, "2 numbers at the output"),
        ({"state_dict": changed_state(fc_out__weight=torch.ones(1, 7))}, r"shape 1 × 7 instead of 1 × 6"),
        ({"state_dict": changed_state(fc_out__weight=NAN)}, "not finite"),
        ({"state_dict": changed_state(fc_out__weight=torch.ones(1, 6, dtype=torch.int64))}, "floating-point"),
        ({"state_dict": changed_state(attention__weight=torch.ones(2))}, "no part of the CGCNN"),
        ({"state_dict": changed_state(conv_to_fc__weight=torch.ones(1, 1).expand(10**6, 10**6))}, "more numbers than"),
        ({"state_dict": {"a": 1}}, "floating-point"),
    ],
)
def test_other_networks_are_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason.replace("\\", "") in refusal(checkpoint(random_network(), **changes))


def test_a_classifier_is_refused_whatever_its_numbers_are_made_of() -> None:
    document = checkpoint(random_network(n_out=2), args={"task": "classification"}, best_mae_error=np.float64(0.9))
    assert "tells classes apart" in refusal(document)


@pytest.mark.parametrize("crystal", SHAKEN[:6])
def test_strict_neighbours_are_the_twelve_nearest(crystal: Crystal) -> None:
    edges = find_neighbours(crystal, ORIGINAL_GRAPH)
    neighbours, distances = nearest_rows(crystal)
    np.testing.assert_array_equal(edges.neighbour.reshape(-1, 12), neighbours)
    np.testing.assert_allclose(edges.distances.reshape(-1, 12), distances, atol=1e-9)
    assert edges.weights.sum() == 12 * crystal.n_sites


def test_strict_graphs_keep_every_atom() -> None:
    graph = build_crystal_graph(supercell(COMPOUNDS["NaCl"], (2, 1, 1)), ORIGINAL_GRAPH)
    assert (graph.n_nodes, graph.n_edges) == (16, 192)


def test_an_atom_with_too_few_neighbours_is_named() -> None:
    sparse = Crystal(np.eye(3) * 25.0, np.array([[0.5, 0.5, 0.5], [0.544, 0.5, 0.5]]), np.array([7, 7]))
    with pytest.raises(
        TooFewNeighbours, match=r"Atom 1 \(N\) has 1 neighbours within 8 Å, and this model takes exactly"
    ):
        build_crystal_graph(sparse, ORIGINAL_GRAPH)


def test_pairs_within_the_whole_cutoff_are_bounded() -> None:
    with pytest.raises(StructureTooLarge):
        find_neighbours(COMPOUNDS["NaCl"], ORIGINAL_GRAPH.model_copy(update={"max_edges": 500}))


def test_settings_without_the_word_are_complete() -> None:
    assert GraphSettings.model_validate({"n_neighbours": 12}).ties == "complete"
    assert GraphSettings.model_validate_json(ORIGINAL_GRAPH.model_dump_json()) == ORIGINAL_GRAPH


def test_the_element_table_is_the_authors(data_kit: Path) -> None:
    authors = json.loads((data_kit / "atom_init.json").read_text())
    assert len(authors) == 100
    table = element_features()
    for number, features in authors.items():
        assert table[int(number)].tolist() == features


@pytest.mark.parametrize("file", PUBLISHED.values())
def test_published_networks_predict_what_they_did(data_kit: Path, file: str) -> None:
    path = data_kit / "cgcnn_published" / file
    model = import_checkpoint(path.read_bytes())
    manifest = model.manifest
    stored = torch.load(path, map_location="cpu", weights_only=True)
    assert manifest.property.key == PROPERTY_KEYS[stored["args"]["data_options"][2]]
    assert manifest.name.startswith("xie-grossman-") and "MIT licence" in render_card(manifest)
    original = OriginalNetwork(width=64, n_conv=4, hidden=32).eval()
    original.load_state_dict(stored["state_dict"], strict=False)
    rows = pd.read_parquet(data_kit / "target_phonons_1265.parquet", columns=["cif"]).sample(20, random_state=1)
    crystals = [crystal for cif in rows["cif"] for _, crystal, _ in read_structures(cif) if crystal is not None]
    mean, std = (stored["normalizer"][part] for part in ("mean", "std"))
    expected = [original.predict(crystal) * std + mean for crystal in crystals]
    assert len(crystals) == 20
    predictor = Predictor.from_bytes(manifest, model.weights)
    np.testing.assert_allclose(on_label_scale(predictor, crystals), expected, atol=AGREEMENT)


def test_the_published_classifier_is_refused(data_kit: Path) -> None:
    content = (data_kit / "cgcnn_published" / "semi-metal-classification.pth.tar").read_bytes()
    assert "metals from semiconductors" in refusal(content)
