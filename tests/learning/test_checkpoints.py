"""Checkpoints are safetensors and refuse what does not belong together; the engine loads each model once."""

import pickle
import threading
import time

import pytest
import torch

from app.core.errors import ArtifactCorrupt
from app.learning.checkpoints import load_network, network_to_bytes, weights_digest
from app.learning.device import torch_device
from app.learning.engine import InferenceEngine
from app.learning.networks.factory import build_network
from app.learning.predictor import Estimate, Predictor
from app.properties.catalogue import get_property
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    PropertyRecord,
    TargetScaling,
    TrainingRecord,
)
from tests.crystals import COMPOUNDS

CPU = torch.device("cpu")


def checkpoint(seed: int = 0, **changes: object) -> tuple[Manifest, bytes]:
    torch.manual_seed(seed)
    network = build_network(Architecture.CGCNN, {"atom_feature_dim": 8, "hidden_dim": 8})
    weights = network_to_bytes(network)
    manifest = Manifest(
        name="tiny",
        architecture=Architecture.CGCNN,
        input_kind=InputKind.STRUCTURE,
        property=PropertyRecord.of(get_property("band_gap")),
        network=network.settings.model_dump(),
        graph={},
        scaling=TargetScaling(kind="none"),
        elements=["Na", "Cl"],
        metrics=Metrics(),
        training=TrainingRecord(
            method="scratch", dataset="none", split="none", n_train=0, n_val=0, n_test=0, seed=0, hyperparameters={},
            best_epoch=0, epochs=0,
        ),
        weights_sha256=weights_digest(weights),
    )  # fmt: skip
    return manifest.model_copy(update=changes), weights


def test_round_trip() -> None:
    manifest, weights = checkpoint()
    assert network_to_bytes(load_network(manifest, weights, CPU)) == weights


def test_a_manifest_survives_json() -> None:
    manifest, _ = checkpoint()
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_other_weights_are_refused() -> None:
    manifest, weights = checkpoint()
    with pytest.raises(ArtifactCorrupt, match="sha256"):
        load_network(manifest, weights[:-4] + b"\0\0\0\1", CPU)


def test_weights_of_another_architecture_are_refused() -> None:
    manifest, weights = checkpoint(network={"atom_feature_dim": 16})
    with pytest.raises(ArtifactCorrupt, match="do not fit"):
        load_network(manifest, weights, CPU)


@pytest.mark.parametrize("graph", [None, {"cutoff": -1.0}, {"unknown": 1}])
def test_a_manifest_whose_graph_settings_do_not_fit_is_refused(graph: object) -> None:
    manifest, weights = checkpoint(graph=graph)
    with pytest.raises(ArtifactCorrupt, match="graph settings"):
        Predictor.from_bytes(manifest, weights)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(RuntimeError, match="finds no CUDA device"):
        torch_device("cuda")
    assert torch_device("auto").type == "cpu"


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the pickle was run')",)


def test_a_pickle_is_not_run() -> None:
    bomb = pickle.dumps(Bomb())
    manifest, _ = checkpoint(weights_sha256=weights_digest(bomb))
    with pytest.raises(ArtifactCorrupt):
        load_network(manifest, bomb, CPU)


def test_many_threads_load_a_model_once() -> None:
    loads: list[int] = []

    def load() -> tuple[Manifest, bytes]:
        loads.append(1)
        time.sleep(0.05)
        return checkpoint()

    engine = InferenceEngine()
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda: answers.append(engine.predict("a", load, [COMPOUNDS["NaCl"]])[0].value))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(answers) == 8
    assert answers == pytest.approx([answers[0]] * 8, rel=1e-6)


def test_least_recently_used_models_go() -> None:
    loads: list[str] = []

    def loader(key: str) -> object:
        def load() -> tuple[Manifest, bytes]:
            loads.append(key)
            return checkpoint(seed=ord(key))

        return load

    engine = InferenceEngine(max_models=2)
    for key in "abacab":
        engine.predict(key, loader(key), [COMPOUNDS["NaCl"]])  # type: ignore[arg-type]
    assert loads == ["a", "b", "c", "b"]


def test_a_failed_load_is_tried_again() -> None:
    engine = InferenceEngine()

    def broken() -> tuple[Manifest, bytes]:
        raise ArtifactCorrupt("damaged")

    with pytest.raises(ArtifactCorrupt):
        engine.predict("a", broken, [COMPOUNDS["NaCl"]])
    assert not engine._loading
    assert isinstance(engine.predict("a", checkpoint, [COMPOUNDS["NaCl"]])[0], Estimate)
