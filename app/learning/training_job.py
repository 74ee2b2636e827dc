"""From labelled inputs to a checkpoint: the one path for scratch training, pretraining and every other method."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.baselines.methods import Baseline
from app.learning.checkpoints import network_to_bytes
from app.learning.device import flushed_denormals, keep_freed_memory, torch_device
from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.preset_tables import YOUNGER
from app.learning.presets import require_fitting_target
from app.learning.representations import (
    Described,
    Representation,
    alone_in_ensemble,
    parts_of,
    representation_for,
    representation_of,
)
from app.learning.splits import Split, move_to_training, split_rows
from app.learning.strategies.automatic import fit_automatically
from app.learning.strategies.baselines import fit_classical
from app.learning.strategies.descent import fit_network
from app.learning.strategies.layers import fit_best_layer
from app.learning.strategies.members import fit_members, has_members
from app.learning.strategies.run import Fitted, Run, SearchEvent, TrainingSpec
from app.learning.tables import PreparedTable, TrainingTable, prepare, require_usable
from app.learning.tournament.entrants import representation_for_all
from app.learning.training.loop import TrainingEvent, TrainingStopped
from app.learning.training_record import evaluate, manifest_of, trained_rows
from app.learning.transfer import Base, network_settings
from app.learning.trust.making import make_trust
from app.registry.manifest import Architecture, Manifest, Parent

__all__ = [
    "PreparedTable",
    "SearchEvent",
    "TrainedModel",
    "TrainingEvent",
    "TrainingSpec",
    "TrainingStopped",
    "TrainingTable",
    "train_model",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MIN_TRAINING_ROWS = 2
"""Batch statistics need more than one row."""
_RUN_FIELDS = {"method", "architecture", "property", "seed", "hyperparameters", "network", "dataset_sha256"}
"""What makes two runs the same run, beside the rows and the parent."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The result: a checkpoint, its intervals' file, its curve, and predictions of the test rows in physical units."""

    manifest: Manifest
    weights: bytes
    trust: bytes | None
    history: list[dict[str, float]]
    test_rows: IntArray
    test_formulas: list[str]
    test_labels: FloatArray
    test_predictions: FloatArray


def train_model(
    table: TrainingTable | PreparedTable,
    spec: TrainingSpec,
    base: Base | None,
    parent: Parent | None,
    work_dir: Path,
    on_event: Callable[[TrainingEvent], None],
    should_stop: Callable[[], bool],
    device: str = "cpu",
    on_search: Callable[[SearchEvent], None] = lambda _: None,
    sources: Sequence[Base] = (),
) -> TrainedModel:
    """Train as `spec` says and evaluate on the held-out test rows; `sources` are what the method `auto` may use.

    Goes on from `work_dir` when it holds the state of the same run. Raises TrainingStopped, TrainingDiverged,
    InvalidJob.
    """
    started = time.monotonic()
    run = open_run(table, spec, base, parent, work_dir, on_event, should_stop, device, on_search, sources)
    with flushed_denormals():
        fitted = _fit(run)
    return close_run(run, fitted, parent, time.monotonic() - started)


def open_run(
    table: TrainingTable | PreparedTable,
    spec: TrainingSpec,
    base: Base | None,
    parent: Parent | None,
    work_dir: Path,
    on_event: Callable[[TrainingEvent], None],
    should_stop: Callable[[], bool],
    device: str = "cpu",
    on_search: Callable[[SearchEvent], None] = lambda _: None,
    sources: Sequence[Base] = (),
) -> Run:
    """The rows featurised and split, ready to train. Raises InvalidJob."""
    require_fitting_target(spec.hyperparameters, spec.property)
    representation = representation_of_run(spec, base)
    prepared = prepare(table, representation) if isinstance(table, TrainingTable) else table
    require_usable(prepared.labels, spec.property.transform)
    split = split_of_run(spec.hyperparameters, spec.seed, prepared)
    where = torch_device(device)
    if where.type == "cpu":
        keep_freed_memory()
    run_key = _run_key(spec, representation, parent, prepared, sources)
    return Run(
        spec, base, prepared, representation, split, run_key, work_dir, where, on_event, on_search, should_stop,
        tuple(sources),
    )  # fmt: skip


def close_run(run: Run, fitted: Fitted, parent: Parent | None, seconds: float) -> TrainedModel:
    """Measure what was trained in `seconds`, this attempt's. Raises TrainingDiverged."""
    with flushed_denormals():
        metrics, test_predictions = evaluate(run, fitted)
        trust = make_trust(trained_rows(run, fitted))
    weights = network_to_bytes(fitted.network)
    record = trust[1] if trust is not None else None
    manifest = manifest_of(run, fitted, metrics, record, parent, weights, round(fitted.earlier_s + seconds, 1))
    test = run.split.test
    return TrainedModel(
        manifest, weights, trust and trust[0], fitted.history, test, [run.prepared.keys[row] for row in test],
        run.prepared.labels[test], test_predictions,
    )  # fmt: skip


def _fit(run: Run) -> Fitted:
    if run.spec.architecture is Architecture.ENSEMBLE:
        return fit_automatically(run)
    if run.spec.architecture is Architecture.BASELINE:
        return fit_classical(run)
    if run.spec.hyperparameters.layer == "auto":
        return fit_best_layer(run)
    if has_members(run.spec):
        return fit_members(run)
    return fit_network(run)


def representation_of_run(spec: TrainingSpec, base: Base | None) -> Representation:
    """What the model reads: the same as its base model."""
    if spec.architecture is Architecture.ENSEMBLE:
        return representation_for_all(spec.data_kind)
    read = _read_by_one(spec, base)
    return alone_in_ensemble(read) if has_members(spec) else read


def _read_by_one(spec: TrainingSpec, base: Base | None) -> Representation:
    """Network or baseline."""
    if base is not None:
        return representation_of(base[0])
    if spec.graph is not None:
        return spec.graph
    if spec.architecture is Architecture.BASELINE:
        return Described(Baseline(spec.method.value).descriptor(spec.hyperparameters.features))
    settings = spec.network or network_settings(spec.architecture, spec.hyperparameters)
    return representation_for(spec.architecture, settings)


def split_of_run(chosen: Hyperparameters, seed: int, prepared: PreparedTable) -> Split:
    """How a run with these resolved hyperparameters splits its rows. Raises InvalidJob."""
    assert chosen.split and chosen.train_fraction and chosen.val_fraction
    split = prepared.split
    if split is None:
        split = split_rows(prepared.keys, chosen.split, chosen.train_fraction, chosen.val_fraction, seed)
        split = move_to_training(split, prepared.keys, prepared.always_train)
    if len(split.train) < _MIN_TRAINING_ROWS or min(len(split.val), len(split.test)) < 1:
        raise InvalidJob(
            f"{len(prepared.labels)} rows cannot be split into train, validation and test: too few, or too few "
            "different formulas."
        )
    return split


def _run_key(
    spec: TrainingSpec,
    representation: Representation,
    parent: Parent | None,
    prepared: PreparedTable,
    sources: Sequence[Base],
) -> str:
    reads = [
        part.model_dump() if isinstance(part, GraphSettings) else part.descriptor for part in parts_of(representation)
    ]
    described = spec.model_dump(mode="json", include=_RUN_FIELDS) | {
        "reads": reads[0] if len(reads) == 1 else reads,
        "parent": parent.model_dump() if parent else None,
        "keys": hashlib.sha256("\n".join(prepared.keys).encode()).hexdigest(),
        "labels": hashlib.sha256(np.ascontiguousarray(prepared.labels).tobytes()).hexdigest(),
    }
    # What began before there were these goes on.
    for name, usual in YOUNGER.items():
        if described["hyperparameters"][name] in (None, usual):
            del described["hyperparameters"][name]
    if spec.pretext is not None:
        measured = {"wall_s", "noise_missed", "elements_found"}
        described["pretext"] = spec.pretext.model_dump(mode="json", exclude=measured)
    if sources:
        described["sources"] = [manifest.weights_sha256 for manifest, _ in sources]
    if prepared.split is not None:
        parts = (prepared.split.train, prepared.split.val, prepared.split.test)
        described["split"] = [hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest() for part in parts]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
