"""Xtalforge through its public entry points: reader, graphs, predictor, trainer."""

import queue
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.graphs.crystal_graph import CrystalGraph, build_crystal_graph
from app.learning.graphs.packed import PackedGraphs
from app.learning.graphs.settings import GraphSettings
from app.learning.predictor import Predictor
from app.learning.samples import GraphSamples
from app.learning.targets import TargetMap
from app.learning.training.loop import LabelledSamples, Trainer, TrainingEvent
from app.learning.training.plan import TrainingPlan
from app.properties.catalogue import Transform
from app.registry.manifest import Architecture, InputKind, Manifest, Metrics, PropertyRecord, TargetScaling
from app.registry.manifest import TrainingRecord as Record
from app.structures.reader import StructureResult, read_structure, read_structures
from benchmarks.peers.files import Span, cif_paths, one_by_one
from benchmarks.peers.weights import PAPER, save_original, seeded_network


def _read(folder: str, span: Span) -> list[StructureResult]:
    return [result for path in cif_paths(folder, span) for result in read_structures(path.read_text())]


def _failures(results: list[StructureResult]) -> dict[str, Any]:
    """What a row tells about files that gave an error."""
    failed = [str(result.error) for result in results if result.error is not None]
    return {"extra": {"refused": len(failed), "first_reason": failed[0]}} if failed else {}


class Contender:
    """With `merge`, as shipped: atoms with equal surroundings are one node. Without, the peers' graph."""

    def __init__(self, merge: bool = True, weights: str = "") -> None:
        self.settings = GraphSettings(merge_equivalent=merge)
        network = seeded_network()
        if weights:
            save_original(network, Path(weights))
        content = network_to_bytes(network)
        self.predictor = Predictor.from_bytes(_manifest(self.settings, weights_digest(content)), content)
        self.chunks: list[GraphSamples] = []

    def about(self) -> dict[str, Any]:
        return {"package": f"xtalforge {version('xtalforge')}", "torch": torch.__version__}

    def _graphs(self, results: list[StructureResult]) -> list[CrystalGraph]:
        return [build_crystal_graph(r.crystal, self.settings) for r in results if r.crystal is not None]

    def read(self, folder: str, span: Span) -> dict[str, Any]:
        return _failures(_read(folder, span))

    def graphs(self, folder: str, span: Span) -> dict[str, Any]:
        results = _read(folder, span)
        self._graphs(results)
        return _failures(results)

    def describe(self, folder: str, span: Span) -> dict[str, Any]:
        """What the graphs are like: atoms, nodes, edges, and which crystals have ties or too few neighbours."""
        results = _read(folder, span)
        graphs = self._graphs(results)
        full = GraphSettings(merge_equivalent=False)
        plain = [build_crystal_graph(result.crystal, full) for result in results if result.crystal is not None]
        tied = [bool(np.any(graph.edge_weights < 1)) for graph in plain]
        counts = [np.bincount(graph.edge_index[0], weights=graph.edge_weights) for graph in plain]
        return {
            "atoms": sum(graph.n_sites for graph in graphs),
            "nodes": sum(graph.n_nodes for graph in graphs),
            "edges": sum(graph.n_edges for graph in graphs),
            "tied": tied,
            "few": [bool(np.any(count < full.n_neighbours - 1e-3)) for count in counts],
        }

    def prepare_forward(self, folder: str, span: Span, batch: int) -> None:
        graphs = self._graphs(_read(folder, span))
        groups = [graphs[i : i + batch] for i in range(0, len(graphs), batch)]
        self.chunks = [GraphSamples(PackedGraphs.pack(group)) for group in groups]

    def forward(self, threads: int) -> None:
        """Predictions of the prepared batches, the making of tensors included."""
        torch.set_num_threads(threads)
        for samples in self.chunks:
            self.predictor.forward(samples)

    def predict(self, folder: str, span: Span, threads: int, keep: bool = False) -> dict[str, Any]:
        torch.set_num_threads(threads)
        results = _read(folder, span)
        values = self.predictor.predict([result.crystal for result in results if result.crystal is not None])
        return _failures(results) | ({"predictions": [_number(value) for value in values]} if keep else {})

    def single(self, folder: str, span: Span, threads: int) -> dict[str, Any]:
        torch.set_num_threads(threads)
        return one_by_one(
            lambda path: self.predictor.predict([read_structure(path.read_text())]), cif_paths(folder, span)
        )

    def train_begin(self, folder: str, n: int, batch: int, rate: float) -> None:
        """A trainer in a thread, which waits before the reading and before each epoch until it is asked."""
        self.epochs = _EpochByEpoch(_plan(batch, rate), lambda: self._labelled(folder, n))

    def first_epoch(self, folder: str, n: int, batch: int, rate: float, threads: int) -> dict[str, Any]:
        """All from the beginning: reading, featurising, one epoch."""
        self.train_begin(folder, n, batch, rate)
        return self.train_epoch(threads)

    def train_epoch(self, threads: int) -> dict[str, Any]:
        return {"extra": {"train_loss": self.epochs.next(threads)}}

    def _labelled(self, folder: str, n: int) -> LabelledSamples:
        rows = (Path(folder) / "id_prop.csv").read_text().splitlines()[:n]
        labels = np.array([float(row.split(",")[1]) for row in rows])
        return LabelledSamples(GraphSamples(PackedGraphs.pack(self._graphs(_read(folder, (0, n, 1))))), labels)


class _EpochByEpoch:
    """Runs a whole `Trainer.fit`, but only as far as it is asked for."""

    def __init__(self, plan: TrainingPlan, load: Callable[[], LabelledSamples]) -> None:
        self._go: queue.Queue[int] = queue.Queue()
        self._done: queue.Queue[float | BaseException] = queue.Queue()
        threading.Thread(target=self._run, args=(plan, load), daemon=True).start()

    def next(self, threads: int) -> float:
        """Run one epoch, the first with reading and featurising; its training loss."""
        self._go.put(threads)
        answer = self._done.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _run(self, plan: TrainingPlan, load: Callable[[], LabelledSamples]) -> None:
        try:
            torch.set_num_threads(self._go.get())
            train = load()
            few = np.arange(min(8, len(train.samples)))
            val = LabelledSamples(train.samples.take(few), train.labels[few])
            target = TargetMap.fit(train.labels, Transform.IDENTITY, "standard")
            with tempfile.TemporaryDirectory() as folder:
                trainer = Trainer(
                    seeded_network(), plan, target, train, val, Path(folder), "benchmark", torch.device("cpu")
                )
                trainer.fit(self._on_event, lambda: False)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            self._done.put(error)

    def _on_event(self, event: TrainingEvent) -> None:
        self._done.put(event.train_loss)
        torch.set_num_threads(self._go.get())


def _plan(batch: int, rate: float) -> TrainingPlan:
    return TrainingPlan(
        max_epochs=1000, patience=1000, batch_size=batch, learning_rate=rate, weight_decay=0.0, optimizer="adamw",
        schedule="constant", loss="mse", ema_decay=0.0, kept_weights="best", gradient_clip=0.0,
        precision="float32", max_seconds=1e9, seed=0,
    )  # fmt: skip


def _manifest(graph: GraphSettings, digest: str) -> Manifest:
    record = PropertyRecord(key="any", label="any", unit="1", definition="", transform=Transform.IDENTITY)
    training = Record(
        method="scratch", dataset="none", split="none", n_train=0, n_val=0, n_test=0, seed=0, hyperparameters={},
        best_epoch=0, epochs=0,
    )  # fmt: skip
    return Manifest(
        name="benchmark",
        architecture=Architecture.CGCNN,
        input_kind=InputKind.STRUCTURE,
        property=record,
        network=PAPER.model_dump(),
        graph=graph.model_dump(),
        scaling=TargetScaling(kind="none"),
        elements=[],
        metrics=Metrics(),
        training=training,
        weights_sha256=digest,
    )


def _number(value: float | Exception) -> float:
    if isinstance(value, Exception):
        raise value
    return value
