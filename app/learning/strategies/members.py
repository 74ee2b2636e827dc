"""Several networks instead of one, each trained without another part of the rows; the model is their mean.

What the parts teach differently cancels, every row trains all networks but one, and the one that has not seen a row
tells how wrong the model is there (Krogh & Vedelsby, NIPS 1994: ensembles by cross-validation).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.learning.baselines.search import Fold, make_folds
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import EnsembleSettings, MemberSettings
from app.learning.outputs import predict_outputs
from app.learning.representations import Composite
from app.learning.samples import CompositeSamples
from app.learning.splits import Split
from app.learning.strategies.descent import member_of
from app.learning.strategies.run import Fitted, Run, TrainingSpec
from app.learning.targets import TargetMap, apply_transform
from app.learning.training.loop import FitResult, TrainingEvent
from app.learning.training.members import train_members
from app.learning.training.stacked_member import Member
from app.registry.manifest import TargetScaling

FloatArray = npt.NDArray[np.float64]


def fit_members(run: Run) -> Fitted:
    """Train `members` networks on training and validation rows, each without one fold of them, of whole formulas.

    The fold that a network does without takes the place of its validation rows: where these choose the weights, the
    errors of the fold are not those of new rows, and are left out. On a GPU the networks are trained side by side. An
    interrupted run goes on with the network it was at. Raises InvalidJob, TrainingStopped, TrainingDiverged.
    """
    chosen = run.spec.hyperparameters
    assert chosen.members and isinstance(run.representation, Composite)
    rows = np.union1d(run.split.train, run.split.val)
    groups = None if chosen.split == "random" else [run.prepared.keys[row] for row in rows]
    folds = make_folds(rows.shape[0], chosen.members, run.spec.seed, groups)
    splits = [Split(rows[train], rows[left_out], run.split.test) for train, left_out in folds]
    members = [member_of(_without(run, split, number)) for number, split in enumerate(splits)]
    results = train_members(
        members, run.work_dir, run.run_key, run.device, _Progress(run, len(members)).told, run.should_stop
    )
    earlier = [result.earlier_s for result in results]
    return Fitted(
        _mean_of(run, members),
        TargetMap(run.spec.property.transform, TargetScaling(kind="none")),
        Split(rows, rows[:0], run.split.test),
        best_epoch=max(result.best_epoch for result in results),
        epochs=max(result.epochs for result in results),
        # Side by side they had the same seconds.
        earlier_s=max(earlier) if run.device.type == "cuda" else sum(earlier),
        history=_mean_history(results),
        held_out_errors=_held_out_errors(run, rows, folds, members, results),
    )


def _without(run: Run, split: Split, number: int) -> Run:
    """The run of one network: what there is of time is for all of them."""
    chosen = run.spec.hyperparameters
    assert chosen.members and chosen.max_seconds and isinstance(run.prepared.samples, CompositeSamples)
    assert isinstance(run.representation, Composite)
    [(name, representation)] = run.representation.parts.items()
    alone = chosen.model_copy(update={"max_seconds": chosen.max_seconds / chosen.members})
    return replace(
        run,
        spec=run.spec.model_copy(update={"hyperparameters": alone, "seed": run.spec.seed + number}),
        prepared=replace(run.prepared, samples=run.prepared.samples.parts[name], split=split),
        representation=representation,
        split=split,
    )


def has_members(spec: TrainingSpec) -> bool:
    """Whether the model is to be the mean of several networks."""
    return (spec.hyperparameters.members or 1) > 1


class _Progress:
    """Epochs of all networks, counted together."""

    def __init__(self, run: Run, n_members: int) -> None:
        self._run, self._done = run, [0] * n_members

    def told(self, number: int, event: TrainingEvent) -> None:
        n = len(self._done)
        self._done[number] = event.epoch
        self._run.on_event(
            replace(event, epoch=sum(self._done), max_epochs=n * event.max_epochs, stage=f"network {number + 1} of {n}")
        )


def _mean_of(run: Run, members: Sequence[Member]) -> EnsembleNetwork:
    spec, representation = run.spec, run.representation
    assert isinstance(representation, Composite)
    [reads] = representation.parts
    n = len(members)
    settings = [
        MemberSettings(
            label=f"{spec.method.value}, without part {number} of {n}",
            architecture=spec.architecture,
            network=member.network.settings.model_dump(mode="json"),  # type: ignore[operator,union-attr]
            reads=reads,
            scaling=member.target_map.scaling,
            weight=1.0 / n,
        )
        for number, member in enumerate(members, start=1)
    ]
    ensemble = EnsembleSettings(descriptors=representation.descriptors, members=tuple(settings))
    return EnsembleNetwork(ensemble, [], [member.network for member in members]).to(run.device)


def _mean_history(results: Sequence[FitResult]) -> list[dict[str, float]]:
    """Of the networks that came so far, epoch by epoch."""
    epochs = max(len(result.history) for result in results)
    found = []
    for number in range(epochs):
        there = [result.history[number] for result in results if number < len(result.history)]
        found.append({name: float(np.mean([each[name] for each in there])) for name in there[0]})
    return found


def _held_out_errors(
    run: Run, rows: npt.NDArray[np.int64], folds: Sequence[Fold], members: Sequence[Member],
    results: Sequence[FitResult],
) -> FloatArray:  # fmt: skip
    """Absolute errors (n,) on the scale of the transform, of each row by the network that was trained without it.

    NaN where the row's error had a say in which weights were kept.
    """
    chosen = run.spec.hyperparameters
    assert isinstance(run.prepared.samples, CompositeSamples)
    [samples] = run.prepared.samples.parts.values()
    labels = apply_transform(run.prepared.labels[rows], run.spec.property.transform)
    errors = np.full(rows.shape[0], np.nan)
    for (_, left_out), member, result in zip(folds, members, results, strict=True):
        if chosen.kept_weights != "last" or result.best_epoch != chosen.max_epochs:
            continue
        outputs = predict_outputs(member.network, samples.take(rows[left_out]), run.device)
        errors[left_out] = np.abs(member.target_map.to_transformed(outputs) - labels[left_out])
    return errors
