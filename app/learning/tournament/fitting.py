"""Predictions of rows an entrant was not trained on, and the models that made them."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from torch import nn

from app.learning.baselines.families import Parameters, export
from app.learning.baselines.search import Fold, VectorProblem, Watch, cross_validate, make_folds
from app.learning.descriptors.catalogue import Descriptor
from app.learning.embedding import embedded_outputs
from app.learning.hyperparameters import Hyperparameters
from app.learning.networks.ensemble_settings import GRAPH
from app.learning.outputs import predict_outputs
from app.learning.presets import resolve_hyperparameters
from app.learning.representations import Composite, Described
from app.learning.samples import CompositeSamples, VectorSamples
from app.learning.splits import Split
from app.learning.strategies.descent import fit_network
from app.learning.strategies.run import Run
from app.learning.tournament.entrants import NetworkEntrant, RegressorEntrant
from app.learning.training.loop import TrainingEvent, TrainingStopped
from app.registry.manifest import Architecture, TargetScaling

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

INNER_FOLDS = 4
NESTED_ROWS = 1500
"""Up to so many rows hyperparameters are chosen inside every fold; of more, once, on so many of the first fold's."""
MIN_EPOCHS, MAX_EPOCHS = 30, 100
_USUAL_ROWS = 600
"""Rows of a small data set; larger ones see each row less often."""
_SHARE_FROM_SOURCE = {Architecture.CGCNN: 0.5, Architecture.ELEMNET: 2.0}
"""Of these epochs, for what starts from a source: the errors of a CGCNN are the same
(benchmarks/results/transfer_levers), those of an ElemNet, whose epochs cost little, 3 % lower than with half as many
(two draws; README, Decisions)."""
_N_WATCHED = 32
"""Training rows whose errors are looked at after each epoch."""


@dataclass(frozen=True, slots=True)
class Part:
    """A trained model as a member of an ensemble."""

    network: nn.Module
    scaling: TargetScaling


@dataclass(frozen=True, slots=True)
class SourceColumns:
    """Of n rows what S networks give: `outputs` (n, S) on their learned scales, `features` (n, E); float32."""

    outputs: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]

    def take(self, rows: IntArray) -> "SourceColumns":
        """Those of some rows."""
        return SourceColumns(self.outputs[rows], self.features[rows])


@dataclass(frozen=True, slots=True)
class Course:
    """The rows that compete, (n,) of them, and how they are cut.

    transformed (n,)   labels on the transformed scale (log10(GPa), say)
    formulas (n,)      rows of one are never on both sides of a cut, unless the split is random
    known              what the sources give for the rows, None without any
    folds              rows that train, rows that are predicted; numbers count from 0 within the course
    """

    run: Run
    rows: IntArray
    transformed: FloatArray
    formulas: Sequence[str]
    known: SourceColumns | None
    folds: Sequence[Fold]

    @property
    def fold_of(self) -> IntArray:
        """Which fold predicts each row, (n,)."""
        found = np.zeros(self.rows.shape[0], dtype=np.int64)
        for number, (_, held_out) in enumerate(self.folds):
            found[held_out] = number
        return found

    @property
    def groups(self) -> Sequence[str] | None:
        return None if self.run.spec.hyperparameters.split == "random" else self.formulas

    def features(self, entrant: RegressorEntrant) -> npt.NDArray[np.float32]:
        """What a regressor reads of all rows, (n, columns)."""
        samples = self.run.prepared.samples
        assert isinstance(samples, CompositeSamples)
        part = samples.parts[entrant.reads.value]
        assert isinstance(part, VectorSamples)
        features = part.features[self.rows][:, : entrant.n_columns]
        if self.known is not None and entrant.with_sources:
            features = np.hstack([features, self.known.outputs])
        if self.known is not None and entrant.with_embeddings:
            features = np.hstack([features, self.known.features])
        return features


class OutOfTime(Exception):
    """A fit would not end in time; what it has done is lost to the tournament."""


class Pace:
    """Whether a training will be through at `end` (monotonic clock), by the time that its epochs take."""

    def __init__(self, end: float) -> None:
        self._end, self._began = end, time.monotonic()
        self._first_epoch: int | None = None
        self._expected = self._began

    def told(self, event: TrainingEvent) -> None:
        """Of an epoch that has ended; those of an earlier attempt say nothing."""
        if self._first_epoch is None:
            self._first_epoch = event.epoch - 1
        now = time.monotonic()
        an_epoch = (now - self._began) / (event.epoch - self._first_epoch)
        self._expected = now + (event.max_epochs - event.epoch) * an_epoch

    @property
    def is_late(self) -> bool:
        return max(self._expected, time.monotonic()) > self._end


class RegressorFits:
    """One regressor over all folds, then on all rows."""

    def __init__(self, course: Course, entrant: RegressorEntrant, n_threads: int) -> None:
        self._course, self._entrant = course, entrant
        self._features = course.features(entrant)
        self._n_threads = n_threads
        self.chosen: Parameters | None = None

    def predict_fold(self, number: int, watch: Watch, end: float = np.inf) -> FloatArray:
        """Transformed-scale predictions of the rows the fold holds out. Raises OutOfTime, TrainingStopped."""
        train, held_out = self._course.folds[number]
        limited = Watch(should_stop=lambda: watch.should_stop() or time.monotonic() > end)
        with _told_apart(watch):
            return self._fitted(train, limited)[0](self._features[held_out])

    def predict_from_part(self, number: int, share: float, watch: Watch) -> FloatArray:
        """The same, trained on a random `share` of the fold's training rows: a point of the learning curve."""
        train, held_out = self._course.folds[number]
        order = np.random.default_rng([self._course.run.spec.seed, number]).permutation(train)
        return self._fitted(np.sort(order[: max(8, round(share * order.shape[0]))]), watch)[0](self._features[held_out])

    def fit_all(self, watch: Watch) -> Part:
        """A module fitted to all rows."""
        _, part = self._fitted(np.arange(self._course.rows.shape[0]), watch)
        return part()

    def _fitted(
        self, train: IntArray, watch: Watch
    ) -> tuple[Callable[[npt.NDArray[np.float32]], FloatArray], Callable[[], Part]]:
        course, family = self._course, self._entrant.family
        labels = course.transformed[train]
        spread = float(labels.std()) or 1.0
        mean = float(labels.mean())
        targets = np.zeros_like(course.transformed)
        targets[train] = (labels - mean) / spread
        problem = VectorProblem(family, self._features, targets, course.run.spec.seed, self._n_threads)
        fitted = problem.fit(self._parameters(problem, train, watch), train)

        def predict(features: npt.NDArray[np.float32]) -> FloatArray:
            return fitted.predict(features) * spread + mean

        def part() -> Part:
            # The descriptor's name is for models that stand alone: of a member the ensemble says what it reads.
            model = export(family, fitted.estimator, fitted.offset, Descriptor(self._entrant.reads))
            return Part(model, TargetScaling(kind="standard", mean=mean, std=spread))

        return predict, part

    def _parameters(self, problem: VectorProblem, train: IntArray, watch: Watch) -> Parameters:
        if self.chosen is not None:
            return self.chosen
        grid = self._entrant.candidates(self._features.shape[1])
        if len(grid) == 1:
            return grid[0]
        looked_at = train
        if train.shape[0] > NESTED_ROWS:
            looked_at = np.sort(np.random.default_rng(problem.seed).permutation(train)[:NESTED_ROWS])
        groups = self._course.groups
        part = None if groups is None else [groups[row] for row in looked_at]
        folds = make_folds(looked_at.shape[0], INNER_FOLDS, problem.seed, part)
        inner = replace(problem, features=problem.features[looked_at], targets=problem.targets[looked_at])
        quiet = Watch(should_stop=watch.should_stop)
        best = cross_validate(inner, self._entrant.family.value, grid, folds, quiet)[0].parameters
        if train.shape[0] > NESTED_ROWS:
            self.chosen = best
        return best


class NetworkFits:
    """One network over folds; the models of the folds together are the entrant's model."""

    def __init__(self, course: Course, entrant: NetworkEntrant) -> None:
        self._course, self._entrant = course, entrant
        self._epoch_share = 1.0
        self.parts: dict[int, Part] = {}

    def shorten(self, share: float) -> None:
        """From now on train for this share of the usual epochs."""
        self._epoch_share = share

    def predict_fold(self, number: int, watch: Watch, end: float = np.inf) -> FloatArray:
        """Transformed-scale predictions of the rows the fold holds out.

        Raises OutOfTime as soon as its epochs show that it would not end in time, TrainingStopped, TrainingDiverged.
        """
        pace = Pace(end)
        run = replace(
            self._run_of_fold(number), on_event=pace.told, should_stop=lambda: watch.should_stop() or pace.is_late
        )
        with _told_apart(watch):
            fitted = fit_network(run)
        self.parts[number] = Part(fitted.network, fitted.target_map.scaling)
        outputs = predict_outputs(fitted.network, run.prepared.samples.take(run.split.test), run.device)
        return fitted.target_map.to_transformed(outputs)

    def _run_of_fold(self, number: int) -> Run:
        course, entrant = self._course, self._entrant
        whole = course.run
        assert isinstance(whole.prepared.samples, CompositeSamples) and isinstance(whole.representation, Composite)
        representation = whole.representation.graph if entrant.reads == GRAPH else Described(Descriptor(entrant.reads))
        assert representation is not None
        train, held_out = course.folds[number]
        split = _split_of(course, train, held_out)
        usual = min(MAX_EPOCHS, max(MIN_EPOCHS, MAX_EPOCHS * _USUAL_ROWS / train.shape[0]))
        share = self._epoch_share * (_SHARE_FROM_SOURCE[entrant.architecture] if entrant.base else 1.0)
        epochs = round(share * usual)
        given = Hyperparameters(max_epochs=epochs, patience=epochs, kept_weights="last")
        chosen = resolve_hyperparameters(
            entrant.architecture, entrant.method, given, whole.prepared.labels.shape[0],
            is_same_property=entrant.base is not None and entrant.base[0].property.key == whole.spec.property.key,
        )  # fmt: skip
        name = hashlib.sha256(entrant.name.encode()).hexdigest()[:12]
        return replace(
            whole,
            spec=whole.spec.model_copy(
                update={"method": entrant.method, "architecture": entrant.architecture, "hyperparameters": chosen}
            ),
            base=entrant.base,
            prepared=replace(whole.prepared, samples=whole.prepared.samples.parts[entrant.reads], split=split),
            representation=representation,
            split=split,
            run_key=f"{whole.run_key}/{name}/{number}/{epochs}",
            work_dir=whole.work_dir / name / f"{number}-{epochs}",
        )


@contextmanager
def _told_apart(watch: Watch) -> Iterator[None]:
    """What stopped without anybody's wish had no time."""
    try:
        yield
    except TrainingStopped:
        if watch.should_stop():
            raise
        raise OutOfTime from None


def _split_of(course: Course, train: IntArray, held_out: IntArray) -> Split:
    """Row numbers of the whole table.

    All of the fold's rows train: last weights are kept, so that none need to choose an epoch, and 15 % more rows are
    worth more than the choice. Some of them are watched, for a training that diverges.
    """
    watched = train[:: max(1, train.shape[0] // _N_WATCHED)]
    return Split(course.rows[train], course.rows[watched], course.rows[held_out])


def source_columns(networks: Sequence[nn.Module], reads: Sequence[str], run: Run) -> SourceColumns:
    """What at least one pretrained network gives for all rows of the run."""
    samples = run.prepared.samples
    assert isinstance(samples, CompositeSamples)
    outputs, features = zip(
        *(
            embedded_outputs(network.to(run.device), samples.parts[name], run.device)
            for network, name in zip(networks, reads, strict=True)
        ),
        strict=True,
    )
    return SourceColumns(np.stack(outputs, axis=1).astype(np.float32), np.concatenate(features, axis=1))
