"""Trials become results: the rows featurised once, the training on the one path of all models."""

import hashlib
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version

import psutil
import torch

from app.core.errors import InvalidJob
from app.learning.representations import Representation
from app.learning.side_by_side import train_together, trains_in_lock_step
from app.learning.strategies.run import Run
from app.learning.tables import PreparedTable, prepare
from app.learning.training.loop import TrainingDiverged, TrainingEvent
from app.learning.training_job import (
    SearchEvent,
    TrainedModel,
    TrainingSpec,
    open_run,
    representation_of_run,
    train_model,
)
from app.learning.transfer import Base
from app.properties.catalogue import get_property
from app.registry.manifest import Parent, PropertyRecord
from app.reproduction.protocols import Protocol, TrialData
from app.reproduction.store import Record, TestRows
from app.reproduction.trials import Places, Trial, read_base

OnProgress = Callable[[str], None]
"""Told a few words on what is being done."""
Result = tuple[Record, TestRows | None]

_KEPT_TABLES = 4


@dataclass
class Bench:
    """Where trials of a protocol are trained. Tables of the last trials are kept featurised.

    Several systems share the rows of a trial, so trials of one seed should follow each other.
    """

    protocol: Protocol
    places: Places
    device: str = "cpu"
    _tables: dict[tuple[str, Representation], PreparedTable] = field(default_factory=dict)
    _data: dict[tuple[str, int], TrialData] = field(default_factory=dict)

    def run(self, trial: Trial, on_progress: OnProgress) -> Result:
        """Train and measure; goes on where an interrupted run of the same trial was.

        A training that diverges or cannot be made is a result too: a record with `failure`.
        """
        folder = self.places.work / "runs" / trial.key

        def on_event(event: TrainingEvent) -> None:
            on_progress(f"{trial}: epoch {event.epoch}/{event.max_epochs}, val {event.best_val_mae:.4g}")

        def on_search(event: SearchEvent) -> None:
            on_progress(f"{trial}: {event.text}, fit {event.done + 1}/{event.total}")

        prepared, spec, base, parent = self.prepared(trial)
        try:
            model = train_model(
                prepared, spec, base, parent, folder, on_event, lambda: False, self.device, on_search,
                [read_base(self.protocol, name, self.places)[0] for name in trial.system.candidates],
            )  # fmt: skip
            result = self._result(trial, model)
        except (TrainingDiverged, InvalidJob) as error:
            result = self._failed(trial, str(error))
        shutil.rmtree(folder, ignore_errors=True)
        return result

    def run_together(self, trials: Sequence[Trial], on_progress: OnProgress) -> list[Result]:
        """The same for trials of one system and different seeds, side by side where a GPU makes that faster."""
        first = trials[0]
        if len(trials) == 1 or not trains_in_lock_step(first.system.architecture, first.hyperparameters):
            return [self.run(trial, on_progress) for trial in trials]
        key = hashlib.sha256("".join(trial.key for trial in trials).encode()).hexdigest()[:24]
        folder = self.places.work / "runs" / key
        runs: list[Run] = []
        parents: list[Parent | None] = []

        def on_event(_index: int, event: TrainingEvent) -> None:
            on_progress(f"{len(runs)} together from {first}: epoch {event.epoch}/{event.max_epochs}")

        try:
            for trial in trials:
                prepared, spec, base, parent = self.prepared(trial)
                parents.append(parent)
                runs.append(open_run(prepared, spec, base, parent, folder, lambda _: None, lambda: False, self.device))
            models = train_together(runs, parents, folder, on_event)
        except (TrainingDiverged, InvalidJob):
            # Which of them it was shows when each is trained alone.
            return [self.run(trial, on_progress) for trial in trials]
        shutil.rmtree(folder, ignore_errors=True)
        return [self._result(trial, model) for trial, model in zip(trials, models, strict=True)]

    def prepared(self, trial: Trial) -> tuple[PreparedTable, TrainingSpec, Base | None, Parent | None]:
        """What a trial trains on, featurised, and how. Raises ValueError for rows that its system cannot take."""
        target, system = trial.target, trial.system
        spec = TrainingSpec(
            name=target.name,
            method=system.method,
            architecture=system.architecture,
            property=PropertyRecord.of(get_property(target.property_key)),
            seed=trial.seed,
            hyperparameters=trial.hyperparameters,
            network=dict(system.network),
            dataset_name=" + ".join(target.files),
        )
        base, parent = (None, None) if system.source is None else read_base(self.protocol, system.source, self.places)
        data = self._rows(trial)
        representation = representation_of_run(spec, base)
        where = (data.name, representation)
        if where not in self._tables:
            _make_room(self._tables)
            prepared = prepare(data.table, representation)
            if prepared.filters:
                raise ValueError(f"{trial}: {'; '.join(prepared.filters)}, but all systems must get equal rows")
            self._tables[where] = prepared
        return replace(self._tables[where], split=data.split), spec, base, parent

    def _rows(self, trial: Trial) -> TrialData:
        where = (trial.target.name, trial.seed)
        if where not in self._data:
            _make_room(self._data)
            self._data[where] = self.protocol.data(trial.target, trial.seed, self.places.kit)
        return self._data[where]

    def _result(self, trial: Trial, model: TrainedModel) -> Result:
        data, training = self._rows(trial), model.manifest.training
        named = "\n".join(data.table.row_ids[row] for row in model.test_rows)
        record = Record(
            key=trial.key,
            trial=trial.identity,
            metrics=model.manifest.metrics,
            test_rows=hashlib.sha256(named.encode()).hexdigest()[:16],
            best_epoch=training.best_epoch,
            epochs=training.epochs,
            wall_s=training.wall_s or 0.0,
            search=training.search,
            coverage=None if model.manifest.trust is None else model.manifest.trust.coverage,
            **self._circumstances(),
        )
        return record, TestRows(model.test_labels, model.test_predictions)

    def _failed(self, trial: Trial, reason: str) -> Result:
        return Record(key=trial.key, trial=trial.identity, failure=reason, **self._circumstances()), None

    def _circumstances(self) -> dict[str, object]:
        packages = ("xtalforge", "torch", "numpy", "scikit-learn")
        return {
            "device": self.device,
            "machine": machine(),
            "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def machine() -> str:
    """What trials run on, in words."""
    cores = f"{psutil.cpu_count()} CPU cores ({platform.machine()}, {platform.system()})"
    return f"{torch.cuda.get_device_name()}, {cores}" if torch.cuda.is_available() else cores


def _make_room(kept: dict) -> None:  # type: ignore[type-arg]
    """Forget what was put in first."""
    while len(kept) >= _KEPT_TABLES:
        del kept[next(iter(kept))]
