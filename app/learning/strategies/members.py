"""Several networks instead of one, each trained without another part of the rows; the model is their mean.

What the parts teach differently cancels, every row trains all networks but one, and the one that has not seen a row
tells how wrong the model is there (Krogh & Vedelsby, NIPS 1994: ensembles by cross-validation).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.core.errors import InvalidJob
from app.learning.baselines.search import Fold, make_folds
from app.learning.networks.ensemble import EnsembleNetwork
from app.learning.networks.ensemble_settings import EnsembleSettings, MemberSettings
from app.learning.outputs import predict_outputs
from app.learning.representations import Composite
from app.learning.samples import CompositeSamples
from app.learning.splits import Split
from app.learning.strategies.descent import fit_network
from app.learning.strategies.run import Fitted, Run, TrainingSpec
from app.learning.targets import TargetMap
from app.learning.training.loop import TrainingEvent
from app.registry.manifest import TargetScaling

FloatArray = npt.NDArray[np.float64]

_LEAST_SHARE = 0.4
"""Of the rows each network must have: one formula may be most of them, and a network without it would know little."""


def has_members(spec: TrainingSpec) -> bool:
    """Whether the model is to be the mean of several networks."""
    return (spec.hyperparameters.members or 1) > 1


def fit_members(run: Run) -> Fitted:
    """Train `members` networks on training and validation rows, each without one fold of them, of whole formulas.

    The fold that a network does without takes the place of its validation rows: where these choose the weights, the
    errors of the fold are not those of new rows, and are left out. An interrupted run goes on with the network it was
    at. Raises InvalidJob, TrainingStopped, TrainingDiverged.
    """
    chosen = run.spec.hyperparameters
    assert chosen.members
    rows = np.union1d(run.split.train, run.split.val)
    groups = None if chosen.split == "random" else [run.prepared.keys[row] for row in rows]
    folds = make_folds(rows.shape[0], chosen.members, run.spec.seed, groups)
    _require_enough(chosen.members, rows.shape[0], folds)
    runs = [
        _without(run, Split(rows[train], rows[left_out], run.split.test), number)
        for number, (train, left_out) in enumerate(folds)
    ]
    fitted = [fit_network(each) for each in runs]
    errors = np.full(rows.shape[0], np.nan)
    for (_, left_out), one, member in zip(folds, runs, fitted, strict=True):
        if chosen.kept_weights == "last" and member.best_epoch == chosen.max_epochs:
            errors[left_out] = _errors(one, member)
    return Fitted(
        _mean_of(run, fitted),
        TargetMap(run.spec.property.transform, TargetScaling(kind="none")),
        Split(rows, rows[:0], run.split.test),
        best_epoch=max(member.best_epoch for member in fitted),
        epochs=max(member.epochs for member in fitted),
        earlier_s=sum(member.earlier_s for member in fitted),
        history=_mean_history(fitted),
        held_out_errors=errors,
    )


def _require_enough(n_members: int, n_rows: int, folds: Sequence[Fold]) -> None:
    if len(folds) < n_members:
        raise InvalidJob(
            f"{n_members} members each do without other formulas, but there are only {len(folds)} formulas to train "
            "on. Choose fewer members, or split 'random'."
        )
    fewest = min(len(train) for train, _ in folds)
    if fewest < max(2, _LEAST_SHARE * n_rows):
        raise InvalidJob(
            f"Without the rows that one of the members is to do without, {fewest} of {n_rows} would train it: one "
            "formula is most of the data. Choose members 1, or split 'random'."
        )


def _without(run: Run, split: Split, number: int) -> Run:
    """The run of one network: its share of the time, its own state, its epochs counted on from those before it."""
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
        run_key=f"{run.run_key}/{number}",
        work_dir=run.work_dir / f"network-{number}",
        on_event=_counted_on(run, number, chosen.members),
    )


def _counted_on(run: Run, number: int, n_members: int) -> Callable[[TrainingEvent], None]:
    def report(event: TrainingEvent) -> None:
        epoch = number * event.max_epochs + event.epoch
        stage = f"network {number + 1} of {n_members}"
        run.on_event(replace(event, epoch=epoch, max_epochs=n_members * event.max_epochs, stage=stage))

    return report


def _errors(run: Run, fitted: Fitted) -> FloatArray:
    """Absolute errors (m,) on the scale of the transform, of the rows that the network was trained without."""
    rows = run.split.val
    outputs = predict_outputs(fitted.network, run.prepared.samples.take(rows), run.device)
    return np.abs(fitted.target_map.to_transformed(outputs) - run.transformed_labels(rows))


def _mean_of(run: Run, fitted: Sequence[Fitted]) -> EnsembleNetwork:
    spec, representation = run.spec, run.representation
    assert isinstance(representation, Composite)
    [reads] = representation.parts
    n = len(fitted)
    settings = [
        MemberSettings(
            label=f"{spec.method.value}, without part {number} of {n}",
            architecture=spec.architecture,
            network=member.network.settings.model_dump(mode="json"),  # type: ignore[operator,union-attr]
            reads=reads,
            scaling=member.target_map.scaling,
            weight=1.0 / n,
        )
        for number, member in enumerate(fitted, start=1)
    ]
    ensemble = EnsembleSettings(descriptors=representation.descriptors, members=tuple(settings))
    return EnsembleNetwork(ensemble, [], [member.network for member in fitted]).to(run.device)


def _mean_history(fitted: Sequence[Fitted]) -> list[dict[str, float]]:
    """Of the networks that came so far, epoch by epoch."""
    found = []
    for number in range(max(len(member.history) for member in fitted)):
        there = [member.history[number] for member in fitted if number < len(member.history)]
        found.append({name: float(np.mean([each[name] for each in there])) for name in there[0]})
    return found
