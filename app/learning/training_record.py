"""The manifest of a model that was just trained, and its errors."""

import platform

import numpy as np
import numpy.typing as npt
import torch

from app.learning.checkpoints import weights_digest
from app.learning.evaluation import split_metrics
from app.learning.networks.ensemble_settings import GRAPH, EnsembleSettings
from app.learning.outputs import predict_outputs
from app.learning.presets import PER_ATOM
from app.learning.representations import graph_of, needs_structure
from app.learning.samples import CompositeSamples, GraphSamples, Samples
from app.learning.strategies.run import Fitted, Run
from app.learning.training.loop import TrainingDiverged
from app.learning.trust.making import Trained
from app.registry.manifest import (
    Architecture,
    InputKind,
    Manifest,
    Metrics,
    Parent,
    SplitMetrics,
    TrainingRecord,
    TrustRecord,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ENERGY_PER_ATOM = f"eV{PER_ATOM}"


def evaluate(run: Run, fitted: Fitted) -> tuple[Metrics, FloatArray]:
    """Errors on each part of the rows, and the predictions of the test rows in physical units.

    Raises TrainingDiverged for predictions that are no numbers.
    """
    prepared, split, target = run.prepared, fitted.split, run.spec.property
    measured: dict[str, SplitMetrics] = {}
    predictions = np.zeros(0)
    for name, rows in (("train", split.train), ("val", split.val), ("test", split.test)):
        if not len(rows):
            continue
        samples = prepared.samples.take(rows)
        predictions = fitted.target_map.to_physical(predict_outputs(fitted.network, samples, run.device))
        if not np.all(np.isfinite(predictions)):
            raise TrainingDiverged(f"The model gives no finite value for some {name} rows: try a lower learning_rate.")
        n_sites = _n_sites(samples) if target.unit == _ENERGY_PER_ATOM else None
        measured[name] = split_metrics(prepared.labels[rows], predictions, target.transform, n_sites)
    return Metrics(**measured), predictions


def _n_sites(samples: Samples) -> IntArray | None:
    """Sites of each row's cell, (n,); None where no graph is read."""
    graphs = samples.parts.get(GRAPH) if isinstance(samples, CompositeSamples) else samples
    return graphs.n_sites if isinstance(graphs, GraphSamples) else None


def trained_rows(run: Run, fitted: Fitted) -> Trained:
    """The network with the rows that tell its errors."""
    held_out = fitted.held_out_errors
    if held_out is not None and fitted.target_map.scaling.kind == "standard":
        held_out = held_out * fitted.target_map.scaling.std
    return Trained(
        network=fitted.network,
        target_map=fitted.target_map,
        prepared=run.prepared,
        split=fitted.split,
        property=run.spec.property,
        by_formula=run.prepared.split is not None or run.spec.hyperparameters.split != "random",
        seed=run.spec.seed,
        device=run.device,
        held_out_errors=held_out if fitted.target_map.scaling.kind != "tanh" else None,
        val_chose=not _ran_to_the_end(run, fitted),
    )


def _ran_to_the_end(run: Run, fitted: Fitted) -> bool:
    """Whether the weights are the last ones because that was wanted, whatever the validation rows say."""
    chosen = run.spec.hyperparameters
    return chosen.kept_weights == "last" and fitted.best_epoch == chosen.max_epochs


def manifest_of(
    run: Run,
    fitted: Fitted,
    metrics: Metrics,
    trust: TrustRecord | None,
    parent: Parent | None,
    weights: bytes,
    wall_s: float,
) -> Manifest:
    """Everything that answers, and the repetition of the run, need."""
    spec, representation = run.spec, run.representation
    settings = fitted.network.settings
    # What competed may have read a graph, and the winner none.
    has_graph = not isinstance(settings, EnsembleSettings) or settings.reads_graph
    graph = graph_of(representation) if has_graph else None
    return Manifest(
        name=spec.name,
        architecture=Architecture.ENSEMBLE if isinstance(settings, EnsembleSettings) else spec.architecture,
        input_kind=InputKind.STRUCTURE if needs_structure(representation) else InputKind.COMPOSITION,
        property=spec.property,
        network=settings.model_dump(mode="json"),  # type: ignore[operator,union-attr]
        graph=None if graph is None else graph.model_dump(mode="json"),
        scaling=fitted.target_map.scaling,
        elements=list(run.prepared.elements),
        metrics=metrics,
        training=_record(run, fitted, wall_s),
        parent=parent,
        trust=trust,
        description=spec.description,
        scope=spec.scope,
        only_when_named=spec.only_when_named,
        weights_sha256=weights_digest(weights),
        weights_bytes=len(weights),
    )


def _split_rule(run: Run) -> str:
    chosen = run.spec.hyperparameters
    if run.prepared.split is not None:
        return "given with the rows"
    fractions = f"train {chosen.train_fraction:.3g} / val {chosen.val_fraction:.3g} / test rest"
    return f"{chosen.split}, {fractions}, seed {run.spec.seed}"


def _record(run: Run, fitted: Fitted, wall_s: float) -> TrainingRecord:
    spec, split, chosen = run.spec, fitted.split, run.spec.hyperparameters
    return TrainingRecord(
        method=spec.method.value,
        dataset=spec.dataset_name,
        dataset_sha256=spec.dataset_sha256,
        licence=spec.licence,
        split=_split_rule(run)
        + ("" if len(split.val) else ", validation rows train too")
        + "".join(f", all of {key} in training" for key in run.prepared.always_train),
        n_train=len(split.train),
        n_val=len(split.val),
        n_test=len(split.test),
        seed=spec.seed,
        hyperparameters=chosen.model_dump(mode="json", exclude_none=True),
        best_epoch=fitted.best_epoch,
        epochs=fitted.epochs,
        filters=list(run.prepared.filters),
        command=spec.command,
        wall_s=wall_s,
        device=run.device.type,
        software={"torch": torch.__version__, "python": platform.python_version()} | fitted.software,
        search=fitted.search,
        pretext=spec.pretext,
    )
