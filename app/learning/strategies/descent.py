"""Networks, by gradient descent."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.learning.hyperparameters import Hyperparameters
from app.learning.networks.elemnet import ElemNet17
from app.learning.networks.factory import build_network
from app.learning.networks.representation import RepresentationElemNet
from app.learning.samples import GraphSamples, VectorSamples
from app.learning.splits import IntArray
from app.learning.strategies.run import Fitted, Run
from app.learning.targets import TargetMap
from app.learning.training.loop import FitResult, LabelledSamples, Trainer, TrainingEvent
from app.learning.training.plan import TrainingPlan
from app.learning.training.stacked_member import Member
from app.learning.transfer import NEW_HEAD, initial_network, keeps_output

_ROWS_AT_ONCE = 1024
"""Of a representation: the activations of one layer fit into the caches."""
_ROWS_LOOKED_AT = 20_000
"""Most rows that a new first layer is fitted to."""


def fit_network(run: Run) -> Fitted:
    """Train the network that the method starts from. Raises InvalidJob, TrainingStopped, TrainingDiverged."""
    spec = run.spec
    network = starting_network(run, spec.hyperparameters)
    plan = TrainingPlan.of(spec.hyperparameters, spec.seed)
    result = train_network(run, network, plan, run.work_dir, run.run_key, run.on_event)
    return Fitted(
        network,
        target_map_of(run),
        run.split,
        result.best_epoch,
        result.epochs,
        result.earlier_s,
        result.history,
    )


def member_of(run: Run) -> Member:
    """The run as one of several that are trained together."""
    hyperparameters = run.spec.hyperparameters
    return Member(
        starting_network(run, hyperparameters),
        TrainingPlan.of(hyperparameters, run.spec.seed),
        target_map_of(run),
        _part(run, run.split.train),
        _part(run, run.split.val),
    )


def starting_network(run: Run, hyperparameters: Hyperparameters) -> nn.Module:
    """What training starts from; the same for the same seed."""
    spec = run.spec
    torch.manual_seed(spec.seed)
    if run.base is None and spec.network:
        network = build_network(spec.architecture, spec.network)
    else:
        network = initial_network(spec.architecture, spec.method, hyperparameters, run.base, spec.property)
    if run.base is None and isinstance(network, ElemNet17) and network.settings.features == "physical_attributes":
        network.standardise(_training_rows(run))
    recalls = hyperparameters.preset == "default" and spec.method not in NEW_HEAD
    if isinstance(network, RepresentationElemNet) and recalls:
        network.recall_first_layer(torch.from_numpy(_training_rows(run)[:_ROWS_LOOKED_AT]))
    return network


def _training_rows(run: Run) -> npt.NDArray[np.float32]:
    training = run.prepared.samples.take(run.split.train)
    assert isinstance(training, VectorSamples)
    return training.features


def train_network(
    run: Run,
    network: nn.Module,
    plan: TrainingPlan,
    work_dir: Path,
    run_key: str,
    on_event: Callable[[TrainingEvent], None],
) -> FitResult:
    """Leave the best weights in the network, and the last state in `work_dir`."""
    train, val = _part(run, run.split.train), _part(run, run.split.val)
    trained = network
    if isinstance(network, ElemNet17 | RepresentationElemNet) and network.has_fixed_representation:
        train, val = (represented(network, part, run.device) for part in (train, val))
        trained = network.after_representation()
    trainer = Trainer(
        trained,
        plan,
        target_map_of(run),
        train,
        val,
        work_dir,
        run_key,
        run.device,
    )
    result = trainer.fit(on_event, run.should_stop)
    trainer.save()
    return result


def represented(
    network: ElemNet17 | RepresentationElemNet, part: LabelledSamples, device: torch.device
) -> LabelledSamples:
    """The same rows as the fixed layers of the network give them: computed once, not at each step of the training."""
    represent = network.to(device).eval().represent
    features = np.empty((len(part.samples), network.representation_dim), dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, len(part.samples), _ROWS_AT_ONCE):
            rows = np.arange(first, min(first + _ROWS_AT_ONCE, len(part.samples)))
            batch = part.samples.batch(rows, device)
            assert isinstance(batch, torch.Tensor)
            features[rows] = represent(batch).cpu().numpy()
    return replace(part, samples=VectorSamples(features))


def target_map_of(run: Run) -> TargetMap:
    """Between labels and what the network gives: the base model's where its output layer goes on."""
    spec, labels = run.spec, run.prepared.labels
    manifest = None if run.base is None else run.base[0]
    if manifest is not None and keeps_output(spec.method, spec.property, spec.hyperparameters, manifest):
        return TargetMap(spec.property.transform, manifest.scaling)
    assert spec.hyperparameters.scaling
    return TargetMap.fit(labels[run.split.train], spec.property.transform, spec.hyperparameters.scaling)


def _part(run: Run, rows: IntArray) -> LabelledSamples:
    samples = run.prepared.samples.take(rows)
    weights = None
    if run.spec.hyperparameters.target == "total":
        assert isinstance(samples, GraphSamples)
        # The error of a cell's total is that of its value per atom times its atoms.
        weights = samples.n_sites.astype(float)
    return LabelledSamples(samples, run.prepared.labels[rows], weights)
