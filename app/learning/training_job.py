"""From labelled inputs to a checkpoint: the one path for scratch training, pretraining and every transfer method."""

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from app.core.errors import InvalidJob
from app.learning.checkpoints import network_to_bytes, weights_digest
from app.learning.device import flushed_denormals, keep_freed_memory, torch_device
from app.learning.evaluation import split_metrics
from app.learning.graphs.settings import GraphSettings
from app.learning.methods import Hyperparameters, Method
from app.learning.networks.factory import build_network
from app.learning.samples import ModelInput, Samples, composition_key, elements_of, make_samples
from app.learning.splits import Split, move_to_training, split_rows
from app.learning.targets import TargetMap
from app.learning.training.loop import (
    FitResult,
    LabelledSamples,
    Trainer,
    TrainingDiverged,
    TrainingEvent,
    TrainingStopped,
    predict_outputs,
)
from app.learning.training.plan import TrainingPlan
from app.learning.transfer import initial_network, keeps_output
from app.properties.catalogue import Transform
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    Parent,
    PropertyRecord,
    SplitMetrics,
    TrainingRecord,
)
from app.structures.elements import SYMBOLS

__all__ = [
    "PreparedTable",
    "TrainedModel",
    "TrainingEvent",
    "TrainingSpec",
    "TrainingStopped",
    "TrainingTable",
    "train_model",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MIN_ROWS = 10
_MIN_TRAINING_ROWS = 2
"""Batch statistics need more than one row."""
_RUN_FIELDS = {"method", "architecture", "property", "seed", "hyperparameters", "network", "dataset_sha256"}
"""What makes two runs the same run, beside the rows and the parent."""


class TrainingSpec(BaseModel):
    """What to train; `hyperparameters` must be resolved (every field filled)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    method: Method
    architecture: Architecture
    property: PropertyRecord
    seed: int
    hyperparameters: Hyperparameters
    network: dict[str, Any] = {}
    graph: GraphSettings = GraphSettings()
    dataset_name: str
    dataset_sha256: str | None = None
    licence: str | None = None
    command: str | None = None
    description: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class TrainingTable:
    """Labelled inputs. `targets` (n,) in the property's unit; `row_ids` name the rows to the user."""

    items: Sequence[ModelInput]
    targets: FloatArray
    row_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class PreparedTable:
    """Featurised inputs with labels, composition keys (for splitting) and elements of all rows.

    Rows whose key is in `always_train` are never held out.
    """

    samples: Samples
    labels: FloatArray
    keys: Sequence[str]
    elements: Sequence[str]
    filters: tuple[str, ...] = ()
    always_train: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The result: a checkpoint, its curve, and predictions of the test rows in physical units."""

    manifest: Manifest
    weights: bytes
    history: list[dict[str, float]]
    test_rows: IntArray
    test_labels: FloatArray
    test_predictions: FloatArray


def prepare(table: TrainingTable, architecture: Architecture, graph: GraphSettings) -> PreparedTable:
    """Featurise a table; rows that cannot be are left out and counted in `filters`.

    Raises InvalidJob when fewer than 10 rows are left.
    """
    samples, errors = make_samples(table.items, graph if architecture is Architecture.CGCNN else None)
    good = [index for index, error in enumerate(errors) if error is None]
    if len(good) < _MIN_ROWS:
        first = next((str(error) for error in errors if error is not None), "the data set is too small")
        raise InvalidJob(f"Only {len(good)} rows can be used, {_MIN_ROWS} are needed: {first}")
    codes: dict[str, int] = {}
    for error in errors:
        if error is not None:
            codes[error.code] = codes.get(error.code, 0) + 1
    items = [table.items[index] for index in good]
    return PreparedTable(
        samples=samples,
        labels=np.asarray(table.targets, dtype=np.float64)[good],
        keys=[composition_key(item) for item in items],
        elements=[SYMBOLS[z] for z in sorted(set().union(*(elements_of(item) for item in items)))],
        filters=tuple(f"{count} rows left out: {code}" for code, count in sorted(codes.items())),
    )


def train_model(
    table: TrainingTable | PreparedTable,
    spec: TrainingSpec,
    base: tuple[Manifest, bytes] | None,
    parent: Parent | None,
    work_dir: Path,
    on_event: Callable[[TrainingEvent], None],
    should_stop: Callable[[], bool],
    device: str = "cpu",
) -> TrainedModel:
    """Train as `spec` says and evaluate on the held-out test rows.

    Goes on from `work_dir` when it holds the state of the same run. Raises TrainingStopped, TrainingDiverged,
    InvalidJob.
    """
    started = time.monotonic()
    graph = spec.graph
    if base is not None and base[0].graph is not None:
        graph = GraphSettings.model_validate(base[0].graph)
    prepared = prepare(table, spec.architecture, graph) if isinstance(table, TrainingTable) else table
    chosen = spec.hyperparameters
    assert chosen.split and chosen.train_fraction and chosen.val_fraction and chosen.scaling
    split = split_rows(prepared.keys, chosen.split, chosen.train_fraction, chosen.val_fraction, spec.seed)
    split = move_to_training(split, prepared.keys, prepared.always_train)
    if len(split.train) < _MIN_TRAINING_ROWS or min(len(split.val), len(split.test)) < 1:
        raise InvalidJob(
            f"{len(prepared.labels)} rows cannot be split into train, validation and test: too few, or too few "
            "different formulas."
        )
    torch.manual_seed(spec.seed)
    network = _network(spec, base)
    _require_usable(prepared.labels, spec.property.transform)
    if base is not None and keeps_output(spec.property, chosen, base[0]):
        target_map = TargetMap(spec.property.transform, base[0].scaling)
    else:
        target_map = TargetMap.fit(prepared.labels[split.train], spec.property.transform, chosen.scaling)
    where = torch_device(device)
    if where.type == "cpu":
        keep_freed_memory()
    trainer = Trainer(
        network,
        TrainingPlan.of(chosen, spec.seed),
        target_map,
        _part(prepared, split.train),
        _part(prepared, split.val),
        work_dir,
        _run_key(spec, graph, parent, prepared),
        where,
    )
    with flushed_denormals():
        result = trainer.fit(on_event, should_stop)
        metrics, test_predictions = _evaluate(network, prepared, split, target_map, spec.property, where)
    weights = network_to_bytes(network)
    manifest = _manifest(spec, prepared, split, target_map, metrics, result, parent, graph, network, where, weights)
    wall_s = round(result.earlier_s + time.monotonic() - started, 1)
    manifest = manifest.model_copy(update={"training": manifest.training.model_copy(update={"wall_s": wall_s})})
    return TrainedModel(manifest, weights, result.history, split.test, prepared.labels[split.test], test_predictions)


def _require_usable(labels: FloatArray, transform: Transform) -> None:
    """Raises InvalidJob for labels, in physical units, that cannot be learned from."""
    unusable = ~np.isfinite(labels) | ((labels <= 0) if transform is Transform.LOG10 else False)
    if np.any(unusable):
        need = "be positive, since their logarithm is learned" if transform is Transform.LOG10 else "be finite numbers"
        raise InvalidJob(
            f"{int(unusable.sum())} labels cannot be used, the first is {labels[unusable][0]:g}: they must {need}."
        )


def _network(spec: TrainingSpec, base: tuple[Manifest, bytes] | None) -> nn.Module:
    if base is None and spec.method is Method.SCRATCH and spec.network:
        return build_network(spec.architecture, spec.network)
    return initial_network(spec.architecture, spec.method, spec.hyperparameters, base, spec.property)


def _part(prepared: PreparedTable, rows: IntArray) -> LabelledSamples:
    return LabelledSamples(prepared.samples.take(rows), prepared.labels[rows])


def _run_key(spec: TrainingSpec, graph: GraphSettings, parent: Parent | None, prepared: PreparedTable) -> str:
    described = spec.model_dump(mode="json", include=_RUN_FIELDS) | {
        "graph": graph.model_dump(),
        "parent": parent.model_dump() if parent else None,
        "keys": hashlib.sha256("\n".join(prepared.keys).encode()).hexdigest(),
        "labels": hashlib.sha256(np.ascontiguousarray(prepared.labels).tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _evaluate(
    network: nn.Module,
    prepared: PreparedTable,
    split: Split,
    target_map: TargetMap,
    target: PropertyRecord,
    device: torch.device,
) -> tuple[Metrics, FloatArray]:
    measured: dict[str, SplitMetrics] = {}
    predictions = np.zeros(0)
    for name, rows in (("train", split.train), ("val", split.val), ("test", split.test)):
        predictions = target_map.to_physical(predict_outputs(network, prepared.samples.take(rows), device))
        if not np.all(np.isfinite(predictions)):
            raise TrainingDiverged(f"The model gives no finite value for some {name} rows: try a lower learning_rate.")
        measured[name] = split_metrics(prepared.labels[rows], predictions, target.transform)
    return Metrics(**measured), predictions


def _manifest(
    spec: TrainingSpec,
    prepared: PreparedTable,
    split: Split,
    target_map: TargetMap,
    metrics: Metrics,
    result: FitResult,
    parent: Parent | None,
    graph: GraphSettings,
    network: nn.Module,
    device: torch.device,
    weights: bytes,
) -> Manifest:
    is_structure = spec.architecture is Architecture.CGCNN
    chosen = spec.hyperparameters
    record = TrainingRecord(
        method=spec.method.value,
        dataset=spec.dataset_name,
        dataset_sha256=spec.dataset_sha256,
        licence=spec.licence,
        split=f"{chosen.split}, train {chosen.train_fraction:.3g} / val {chosen.val_fraction:.3g} / test rest, "
        f"seed {spec.seed}" + "".join(f", all of {key} in training" for key in prepared.always_train),
        n_train=len(split.train),
        n_val=len(split.val),
        n_test=len(split.test),
        seed=spec.seed,
        hyperparameters=chosen.model_dump(mode="json"),
        best_epoch=result.best_epoch,
        epochs=result.epochs,
        filters=list(prepared.filters),
        command=spec.command,
        device=device.type,
        software={"torch": torch.__version__, "python": platform.python_version()},
    )
    return Manifest(
        name=spec.name,
        architecture=spec.architecture,
        input_kind=InputKind.STRUCTURE if is_structure else InputKind.COMPOSITION,
        property=spec.property,
        network=network.settings.model_dump(mode="json"),  # type: ignore[operator,union-attr]
        graph=graph.model_dump(mode="json") if is_structure else None,
        scaling=target_map.scaling,
        elements=list(prepared.elements),
        metrics=metrics,
        training=record,
        parent=parent,
        description=spec.description,
        scope=spec.scope,
        weights_sha256=weights_digest(weights),
        weights_bytes=len(weights),
    )
