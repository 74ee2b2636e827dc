"""The levers by name: what each trains, and what it makes of that."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from app.learning.baselines.search import Watch
from app.learning.checkpoints import load_network
from app.learning.device import flushed_denormals
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.ensemble_settings import GRAPH
from app.learning.presets import resolve_hyperparameters
from app.learning.tournament.combining import combination_weights
from app.learning.tournament.entrants import regressors
from app.learning.tournament.fitting import Course, RegressorFits, source_columns
from app.learning.training.plan import LAST_TOLERANCE
from app.registry.manifest import Architecture, InputKind
from benchmarks.transfer_levers_rows import N_FOLDS, N_ROWS
from benchmarks.transfer_levers_sources import ENERGY_AND_NOISE, NOISE, ONE_PROPERTY, TWO_PROPERTIES
from benchmarks.transfer_levers_training import FORMATION_ENERGY, Lab, Trained, Training, Weights

FloatArray = npt.NDArray[np.float64]

SOURCES = (FORMATION_ENERGY, "cgcnn-band-gap/2", "cgcnn-band-gap-nonmetal/2")
_ALPHAS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predictions (rows,) of all rows on the transformed scale: of those that train or choose only where it says so."""

    predictions: FloatArray
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lever:
    """`family` is what stands beside it in the report."""

    family: str
    about: str
    make: Callable[[Lab], Outcome]


Reading = Callable[[Trained], FloatArray]


def best(trained: Trained) -> FloatArray:
    return trained.predictions


def last(trained: Trained) -> FloatArray:
    return trained.at_marks[-1]


def at_marks(trained: Trained) -> FloatArray:
    return np.asarray(trained.at_marks.mean(axis=0))


def cycle_ends(trained: Trained) -> FloatArray:
    """Of five cycles the last three."""
    return np.asarray(trained.at_marks[[0, 2, 4]].mean(axis=0))


def averaged_best(trained: Trained) -> FloatArray:
    return trained.averaged[0]


def averaged_last(trained: Trained) -> FloatArray:
    return trained.averaged[1]


def one(training: Training, read: Reading = last) -> Callable[[Lab], Outcome]:
    """What one training gives."""

    def make(lab: Lab) -> Outcome:
        trained = lab.train(training)
        return Outcome(read(trained), trained.seconds, f"best epoch {trained.best_epoch}")

    return make


def as_preset(training: Training) -> Callable[[Lab], Outcome]:
    """What the `default` preset keeps: the last weights, unless an epoch before had a much lower validation error."""

    def make(lab: Lab) -> Outcome:
        trained, val = lab.train(training), lab.draw.split.val
        labels = lab.draw.transformed[val]
        lowest, at_end = (float(np.abs(read(trained)[val] - labels).mean()) for read in (best, last))
        keeps_last = at_end <= LAST_TOLERANCE * lowest
        note = f"best epoch {trained.best_epoch}, the {'last' if keeps_last else 'best'} is kept"
        return Outcome(last(trained) if keeps_last else best(trained), trained.seconds, note)

    return make


def mean_of(trainings: Sequence[Training], read: Reading = last) -> Callable[[Lab], Outcome]:
    """The mean of what several predict."""

    def make(lab: Lab) -> Outcome:
        found = [lab.train(training) for training in trainings]
        return Outcome(np.mean([read(each) for each in found], axis=0), sum(each.seconds for each in found))

    return make


def folds_of(training: Training, read: Reading = last) -> Callable[[Lab], Outcome]:
    """Of rows to learn from what the training that did not learn from it predicts; of others the mean of all."""

    def make(lab: Lab) -> Outcome:
        found = [lab.train(replace(training, fold=fold)) for fold in range(N_FOLDS)]
        predictions = np.mean([read(each) for each in found], axis=0)
        for (_, held_out), each in zip(lab.draw.folds, found, strict=True):
            predictions[held_out] = read(each)[held_out]
        return Outcome(predictions, sum(each.seconds for each in found))

    return make


def members(training: Training, n: int = 5) -> list[Training]:
    return [replace(training, member=member) for member in range(n)]


def soup(trainings: Sequence[Training]) -> Callable[[Lab], Outcome]:
    """One network with the mean of the weights of trainings that started as one (Wortsman et al., ICML 2022)."""

    def make(lab: Lab) -> Outcome:
        found = [lab.train(training) for training in trainings]
        mean = {
            name: torch.stack([each.last[name] for each in found]).double().mean(0).to(value.dtype)
            for name, value in found[0].last.items()
        }
        network = _with_statistics(lab, trainings[0], mean)
        return Outcome(lab.predict(network, trainings[0]), sum(each.seconds for each in found))

    return make


def interpolated(training: Training) -> Callable[[Lab], Outcome]:
    """alpha * trained + (1 - alpha) * source below the output; alpha by validation (Wortsman et al., CVPR 2022)."""

    def make(lab: Lab) -> Outcome:
        trained = lab.train(training)
        start = lab.start(training).state_dict()
        labels, val = lab.draw.transformed, lab.draw.split.val
        found = []
        for alpha in _ALPHAS:
            weights = {
                name: value
                if name.startswith("output.") or not value.is_floating_point()
                else start[name].lerp(value, alpha)
                for name, value in trained.last.items()
            }
            predictions = lab.predict(_with_statistics(lab, training, weights), training)
            found.append((float(np.abs(predictions - labels)[val].mean()), alpha, predictions))
        _, alpha, predictions = min(found, key=lambda each: each[0])
        return Outcome(predictions, trained.seconds, f"alpha {alpha}")

    return make


def _with_statistics(lab: Lab, training: Training, weights: Weights) -> nn.Module:
    """A network with these weights whose batch statistics are those of the training rows."""
    network = lab.start(training)
    network.load_state_dict(weights)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    rows = lab.run(training).split.train
    with torch.no_grad(), flushed_denormals():
        for part in np.array_split(rows, max(1, len(rows) // 64)):
            network(lab.draw.part(GRAPH).batch(part, _CPU))
    return network


def chosen_source(lab: Lab) -> Outcome:
    """Of fine-tunings from each source the one with the lowest validation error."""
    labels, val = lab.draw.transformed, lab.draw.split.val
    found = [(source, lab.train(Training(source=source))) for source in SOURCES]
    source, trained = min(found, key=lambda each: float(np.abs(last(each[1]) - labels)[val].mean()))
    return Outcome(last(trained), sum(each.seconds for _, each in found), source)


def regressor(name: str) -> Callable[[Lab], Outcome]:
    """An entrant of the tournament: out-of-fold predictions of rows to learn from, of others by one fitted to these."""

    def make(lab: Lab) -> Outcome:
        started = time.monotonic()
        return Outcome(lab.kept(name, lambda: _regress(lab, name)), time.monotonic() - started)

    return make


def _regress(lab: Lab, name: str) -> FloatArray:
    draw = lab.draw
    entrant = next(e for e in regressors(InputKind.STRUCTURE, N_ROWS, has_sources=True) if e.name == name)
    chosen = resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(), N_ROWS)
    run = draw.run(Method.SCRATCH, chosen, None, draw.seed, every_part=True)
    rows = np.arange(len(draw.prepared.labels))
    known = None
    if entrant.with_sources or entrant.with_embeddings:
        networks = [load_network(*lab.base(source), _CPU) for source in SOURCES]
        known = source_columns(networks, [GRAPH] * len(SOURCES), run)
    folds = [*draw.folds, (draw.fitted, draw.split.test)]
    course = Course(run, rows, draw.transformed, draw.prepared.keys, known, folds)
    fits = RegressorFits(course, entrant, n_threads=1)
    predictions = np.full(rows.shape[0], np.nan)
    for number, (_, held_out) in enumerate(folds):
        predictions[held_out] = fits.predict_fold(number, Watch())
    return predictions


def stacked(*parts: str) -> Callable[[Lab], Outcome]:
    """The combination of levers that out-of-fold predictions choose, as the tournament makes it."""

    def make(lab: Lab) -> Outcome:
        found = [LEVERS[name].make(lab) for name in parts]
        columns = np.stack([each.predictions for each in found], axis=1)
        rows = lab.draw.fitted
        weights = combination_weights(columns[rows], lab.draw.transformed[rows])
        note = ", ".join(f"{weight:.2f} {name}" for weight, name in zip(weights, parts, strict=True) if weight)
        return Outcome(columns @ weights, sum(each.seconds for each in found), note)

    return make


def _given(**given: object) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(given.items()))


PLAIN = Training()
SCRATCH = Training(source=None)
CHOSEN = Training(val_share=0.15)
HALF = Training(given=_given(max_epochs=50, patience=50))
_TUNING, _WEIGHTS, _STEPS, _SOURCE, _MANY, _FROZEN, _STACK = (
    "baselines and their tuning", "which weights are kept", "how it is trained", "source", "several trainings",
    "frozen features", "with descriptors",
)  # fmt: skip
EXTRA_TREES = "extra trees, bonding descriptors"
EXTRA_TREES_KNOWN = "extra trees, bonding descriptors and pretrained predictions"
SVR_KNOWN = "SVR, bonding descriptors and pretrained predictions"
GAUSSIAN = "Gaussian process, bonding descriptors and pretrained embeddings"
DESCRIPTORS = (EXTRA_TREES, EXTRA_TREES_KNOWN, SVR_KNOWN, GAUSSIAN)


def _tuned(kind: str, training: Training, **given: object) -> tuple[str, Lever]:
    text = ", ".join(f"{name} {value:g}" for name, value in given.items())
    return f"{kind}, {text}", Lever(_TUNING, "", one(replace(training, given=_given(**given))))


LEVERS: dict[str, Lever] = {
    "scratch": Lever(_TUNING, "`default` preset, random weights", as_preset(SCRATCH)),
    "fine_tune": Lever(_TUNING, "from the formation energy, rate 0.001: `default` until 2026-11-22", as_preset(PLAIN)),
    **dict(
        [
            *(_tuned("scratch", SCRATCH, learning_rate=rate) for rate in (1e-3, 6e-3)),
            _tuned("scratch", SCRATCH, weight_decay=0.1),
            *(_tuned("fine_tune", PLAIN, learning_rate=rate) for rate in (3e-4, 3e-3, 6e-3)),
            _tuned("fine_tune", PLAIN, weight_decay=0.1),
        ]
    ),
    "last epoch": Lever(_WEIGHTS, "whatever the validation error", one(PLAIN)),
    "scratch, last epoch": Lever(_WEIGHTS, "the same from scratch", one(SCRATCH)),
    "best epoch": Lever(_WEIGHTS, "weights of the epoch with the lowest validation error", one(PLAIN, best)),
    "scratch, best epoch": Lever(_WEIGHTS, "the same from scratch", one(SCRATCH, best)),
    "snapshots": Lever(_WEIGHTS, "mean over the weights after 60, 70 ... 100 % of the schedule", one(PLAIN, at_marks)),
    "averaged weights": Lever(_WEIGHTS, "EMA, decay 0.99 a step, at the end", one(PLAIN, averaged_last)),
    "averaged weights, best epoch": Lever(_WEIGHTS, "EMA of its own best epoch", one(PLAIN, averaged_best)),
    "scratch, averaged weights, best epoch": Lever(_WEIGHTS, "the same from scratch", one(SCRATCH, averaged_best)),
    "interpolated weights": Lever(
        _WEIGHTS, "WiSE: alpha * last + (1 - alpha) * source, alpha by validation", interpolated(PLAIN)
    ),
    "all rows": Lever(_WEIGHTS, "the 125 rows of validation train too", one(Training(all_rows=True))),
    "rates by depth 0.7": Lever(
        _STEPS, "rate 0.003 at the output, 0.7 times it at each block below",
        one(Training(given=_given(learning_rate=3e-3), rate_factor=0.7)),
    ),
    "rates by depth 0.5": Lever(
        _STEPS, "rate 0.003, 0.5 times it at each block below",
        one(Training(given=_given(learning_rate=3e-3), rate_factor=0.5)),
    ),
    "L2-SP": Lever(_STEPS, "decoupled decay 1 towards the source's weights, none to 0", one(Training(pull=1.0))),
    "Huber loss": Lever(_STEPS, "instead of the MAE", one(Training(given=_given(loss="huber")))),
    "50 epochs": Lever(_STEPS, "half as long", one(HALF)),
    "scratch, 50 epochs": Lever(
        _STEPS, "the same from scratch", one(Training(source=None, given=_given(max_epochs=50, patience=50)))
    ),
    "200 epochs": Lever(_STEPS, "twice as long", one(Training(given=_given(max_epochs=200, patience=200)))),
    "gradual unfreezing": Lever(
        _STEPS, "a block more every 5 epochs, from the output", one(Training(epochs_per_block=5))
    ),
    "cyclic snapshots": Lever(
        _STEPS, "5 cosine cycles of 20 epochs, mean of the last 3", one(Training(cycles=5), cycle_ends)
    ),
    "source: band gap": Lever(_SOURCE, "cgcnn-band-gap/2", one(Training(source=SOURCES[1]))),
    "source: gap of non-metals": Lever(_SOURCE, "cgcnn-band-gap-nonmetal/2", one(Training(source=SOURCES[2]))),
    "source: small, energy": Lever(
        _SOURCE, "39,000 crystals of at most 20 atoms, 20 epochs", one(Training(source=ONE_PROPERTY))
    ),
    "source: small, energy and gap": Lever(
        _SOURCE, "the same crystals and steps, two properties", one(Training(source=TWO_PROPERTIES))
    ),
    "source: small, noise": Lever(
        _SOURCE, "the same crystals and steps, noise of lengths instead of labels", one(Training(source=NOISE))
    ),
    "source: small, energy and noise": Lever(
        _SOURCE, "the same crystals and steps, energy and noise", one(Training(source=ENERGY_AND_NOISE))
    ),
    "source by validation": Lever(_SOURCE, "the best of the three on validation rows", chosen_source),
    "one from each source": Lever(
        _MANY, "mean of three", mean_of([Training(source=source) for source in SOURCES])
    ),
    "two sources": Lever(
        _MANY, "mean of those from formation energy and band gap",
        mean_of([Training(source=source) for source in SOURCES[:2]])
    ),
    "3 seeds": Lever(_MANY, "mean of three", mean_of(members(PLAIN, 3))),
    "weight soup of 3 seeds": Lever(_MANY, "one network with the mean of their weights", soup(members(PLAIN, 3))),
    "5 folds, 15 % choose": Lever(
        _MANY, "mean of five trained on 4/5 of all 625 rows, of which 15 % choose the epoch", folds_of(CHOSEN, best)
    ),
    "5 folds, 15 % left out": Lever(_MANY, "the same rows train, last weights", folds_of(CHOSEN)),
    "5 folds": Lever(_MANY, "all 4/5 train", folds_of(PLAIN)),
    "5 folds, 50 epochs": Lever(_MANY, "the same, half as long: as in a tournament", folds_of(HALF)),
    "5 members of all rows, 50 epochs": Lever(
        _MANY, "mean of five trained on all 625 rows in other orders", mean_of(members(replace(HALF, all_rows=True)))
    ),
    "scratch, 5 folds": Lever(_MANY, "the same from scratch", folds_of(SCRATCH)),
    **{name: Lever(_FROZEN, "an entrant of the tournament", regressor(name)) for name in DESCRIPTORS},
    "stack without networks": Lever(_STACK, "the four above, weights from out-of-fold errors", stacked(*DESCRIPTORS)),
    "stack with scratch": Lever(_STACK, "these and 5 folds from scratch", stacked(*DESCRIPTORS, "scratch, 5 folds")),
    "stack with fine_tune, 15 % choose": Lever(
        _STACK, "these and 5 folds of which 15 % choose", stacked(*DESCRIPTORS, "5 folds, 15 % choose")
    ),
    "stack with fine_tune": Lever(_STACK, "these and 5 folds, all 4/5 train", stacked(*DESCRIPTORS, "5 folds")),
}  # fmt: skip
TUNED_SCRATCH = [name for name, lever in LEVERS.items() if lever.family == _TUNING and name.startswith("scratch")]
