"""Trainings of one network with what the product's loop does not have: rates by depth, pull to the source, ..."""

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.core.settings import PROJECT_ROOT
from app.learning.device import flushed_denormals, keep_freed_memory
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.networks.cgcnn import Cgcnn
from app.learning.networks.ensemble_settings import GRAPH
from app.learning.outputs import predict_outputs
from app.learning.presets import resolve_hyperparameters
from app.learning.samples import Samples
from app.learning.splits import Split, split_rows
from app.learning.strategies.descent import starting_network, target_map_of
from app.learning.strategies.run import Run
from app.learning.training.loop import LabelledSamples, Trainer
from app.learning.training.plan import TrainingPlan
from app.learning.training.weights import copied, update_average
from app.learning.transfer import Base
from app.registry.manifest import MANIFEST_FILE, WEIGHTS_FILE, Architecture, Manifest
from benchmarks.transfer_levers_rows import N_ROWS, Draw

FloatArray = npt.NDArray[np.float64]
Weights = dict[str, Tensor]

FORMATION_ENERGY = "cgcnn-formation-energy/1"
MARKS = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Parts of the schedule after which the weights predict too, beside those of the best epoch."""
RATE = 1e-3
"""Of what starts from a source, unless it is what is tried: the `default` preset's when most of this was measured."""
DECAY = 0.99
"""Per step, of the averaged weights that are watched in every training."""
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Training:
    """One network trained on a draw.

    source            whose weights it starts with; None: random ones
    is_frozen         the source's representation stays as it is
    given             hyperparameters that are not those of the `default` preset
    member            number among trainings that differ in the order of rows alone (from scratch: in weights too)
    fold              None: the split of the draw; else the fold that chooses the epoch, all others train
    val_share         of a fold's other rows, formula by formula: they choose the epoch, and the fold measures only
    all_rows          the rows that choose the epoch train too: only the last weights mean anything
    rate_factor       each block nearer to the input has its learning rate multiplied by it once more
    pull              decoupled decay of the weights towards the source's, instead of towards 0 (L2-SP)
    epochs_per_block  gradual unfreezing: so many epochs until the next block from the output on is trained too
    cycles            cosine cycles of the learning rate, each from its full value (snapshot ensembles)
    """

    source: str | None = FORMATION_ENERGY
    is_frozen: bool = False
    given: tuple[tuple[str, Any], ...] = ()
    member: int = 0
    fold: int | None = None
    val_share: float = 0.0
    all_rows: bool = False
    rate_factor: float = 1.0
    pull: float = 0.0
    epochs_per_block: int = 0
    cycles: int = 0

    @property
    def method(self) -> Method:
        if self.is_frozen:
            return Method.FREEZE
        return Method.FINE_TUNE if self.source else Method.SCRATCH


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it. Predictions on the transformed scale: of all rows, and at each mark, (marks, rows).

    `averaged` (2, rows) are those of the averaged weights in their own best epoch and at the end.
    """

    predictions: FloatArray
    at_marks: FloatArray
    averaged: FloatArray
    best_epoch: int
    seconds: float
    best: Weights = field(repr=False)
    last: Weights = field(repr=False)


def blocks(network: nn.Module) -> list[nn.Module]:
    """From the input to the output."""
    assert isinstance(network, Cgcnn)
    return [network.embedding, *network.convolutions, *network.hidden, network.output]


class LeverTrainer(Trainer):
    """The product's loop with the levers of a training."""

    def use(self, training: Training) -> None:
        """Before `fit`."""
        self.training = training
        self.start = copied(self.network.state_dict())
        self.at_marks: dict[int, Weights] = {}
        self.average: Weights = {}
        self.best_average: tuple[float, Weights] = (math.inf, {})
        parts = blocks(self.network)
        n_below = len(parts) - 1
        groups = [
            {
                "params": list(part.parameters()), "factor": training.rate_factor ** (n_below - depth),
                # What is pulled to the source is not pulled to 0.
                "weight_decay": 0.0 if training.pull and depth < n_below else self.plan.weight_decay,
            }
            for depth, part in enumerate(parts)
        ]  # fmt: skip
        self.state.optimizer = torch.optim.AdamW(groups, lr=self.plan.learning_rate, fused=True)

    def _train_epoch(self, epoch: int, should_stop: Callable[[], bool]) -> float:
        if self.training.epochs_per_block:
            n_open = 1 + epoch // self.training.epochs_per_block
            for number, part in enumerate(reversed(blocks(self.network))):
                part.requires_grad_(number < n_open)
        return super()._train_epoch(epoch, should_stop)

    def _rate(self, step: int) -> float:
        if not self.training.cycles:
            return super()._rate(step)
        length = self.plan.max_epochs * self.steps_per_epoch / self.training.cycles
        return self.plan.learning_rate * (1.0 + math.cos(math.pi * (step % length) / length)) / 2.0

    def _update_weights(self) -> None:
        groups = self.state.optimizer.param_groups
        rate = groups[0]["lr"]
        for group in groups:
            group["lr"] = rate * group["factor"]
        super()._update_weights()
        if self.training.pull:
            with torch.no_grad():
                for name, value in self.network.named_parameters():
                    if not name.startswith("output."):
                        value.lerp_(self.start[name], rate * self.training.pull)
        update_average(self.average, self.network, DECAY, self.state.progress.step)

    def _validate(self) -> tuple[float, float]:
        epoch = self.state.progress.epoch
        if epoch in mark_epochs(self.plan):
            self.at_marks[epoch] = copied(self.network.state_dict())
        live = copied(self.network.state_dict())
        self.network.load_state_dict(self.average)
        _, error = super()._validate()
        if error < self.best_average[0]:
            self.best_average = error, copied(self.average)
        self.network.load_state_dict(live)
        return super()._validate()


def mark_epochs(plan: TrainingPlan) -> list[int]:
    return [round(mark * plan.max_epochs) for mark in MARKS]


class Lab:
    """Trains on one draw; what was trained before is read from `work_dir`."""

    def __init__(self, draw: Draw, work_dir: Path, stores: Mapping[str, Path] | None = None) -> None:
        self.draw = draw
        self._folder = work_dir / f"{draw.target}-{draw.seed}"
        self._stores = stores or {}
        keep_freed_memory()

    def train(self, training: Training) -> Trained:
        described = {name: value for name, value in asdict(training).items() if value != asdict(Training())[name]}
        key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        path = self._folder / "trainings" / f"{key}.safetensors"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, self._train(training))
        return _read(path)

    def kept(self, name: str, make: Callable[[], FloatArray]) -> FloatArray:
        """What `make` gives, once."""
        path = self._folder / f"{name}.npy"
        if not path.is_file():
            np.save(path, make())
        return np.asarray(np.load(path))

    def base(self, name: str) -> Base:
        """A source, by NAME/VERSION."""
        folder = self._stores.get(name, PROJECT_ROOT / "models_store") / name
        manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
        return manifest, (folder / WEIGHTS_FILE).read_bytes()

    def run(self, training: Training) -> Run:
        # Those of the last epoch are kept beside them.
        rate = {"learning_rate": RATE} if training.source else {}
        given = Hyperparameters(kept_weights="best", **rate | dict(training.given))
        chosen = resolve_hyperparameters(Architecture.CGCNN, training.method, given, N_ROWS)
        split = None
        if training.fold is not None:
            train, held_out = self.draw.folds[training.fold]
            split = Split(train, held_out, self.draw.split.test)
            if training.val_share:
                keys = [self.draw.prepared.keys[row] for row in train]
                parts = split_rows(keys, "formula", 1.0 - training.val_share, training.val_share / 2, self.draw.seed)
                split = Split(train[parts.train], train[np.union1d(parts.val, parts.test)], self.draw.split.test)
        if training.all_rows:
            split = Split(self.draw.fitted, self.draw.split.val, self.draw.split.test)
        base = self.base(training.source) if training.source else None
        return self.draw.run(training.method, chosen, base, self._seed(training), split)

    def start(self, training: Training) -> nn.Module:
        """The network before the training: members from one source start as one, output layer included."""
        run = self.run(training)
        if training.source:
            spec = run.spec.model_copy(update={"seed": self.draw.seed})
            run = self.draw.run(training.method, spec.hyperparameters, run.base, self.draw.seed, run.split)
        return starting_network(run, run.spec.hyperparameters)

    def predict(self, network: nn.Module, training: Training) -> FloatArray:
        """Of all rows, on the transformed scale."""
        target_map = target_map_of(self.run(training))
        with flushed_denormals():
            return target_map.to_transformed(predict_outputs(network, self.draw.part(GRAPH), _CPU))

    def _seed(self, training: Training) -> int:
        return self.draw.seed + 1000 * training.member

    def _train(self, training: Training) -> Trained:
        started = time.monotonic()
        run, network = self.run(training), self.start(training)
        plan = TrainingPlan.of(run.spec.hyperparameters, self._seed(training))
        train, val = _labelled(run, run.split.train), _labelled(run, run.split.val)
        with tempfile.TemporaryDirectory() as folder, flushed_denormals():
            trainer = LeverTrainer(network, plan, target_map_of(run), train, val, Path(folder), "", _CPU)
            trainer.use(training)
            result = trainer.fit(lambda _: None, lambda: False)
        seconds = time.monotonic() - started
        best = copied(network.state_dict())
        marked = [trainer.at_marks[epoch] for epoch in mark_epochs(plan)]

        def predict(weights: Weights) -> FloatArray:
            network.load_state_dict(weights)
            return self.predict(network, training)

        return Trained(
            predict(best),
            np.array([predict(weights) for weights in marked]),
            np.array([predict(weights) for weights in (trainer.best_average[1], trainer.average)]),
            result.best_epoch, seconds, best, marked[-1],
        )  # fmt: skip


def _labelled(run: Run, rows: npt.NDArray[np.int64]) -> LabelledSamples:
    samples: Samples = run.prepared.samples.take(rows)
    return LabelledSamples(samples, run.prepared.labels[rows])


def _write(path: Path, trained: Trained) -> None:
    tensors = {f"best/{name}": value.contiguous() for name, value in trained.best.items()}
    tensors |= {f"last/{name}": value.contiguous() for name, value in trained.last.items()}
    tensors |= {name: torch.from_numpy(getattr(trained, name)) for name in _ARRAYS}
    tensors["numbers"] = torch.tensor([trained.best_epoch, trained.seconds], dtype=torch.float64)
    save_file(tensors, path.with_suffix(".partial"))
    path.with_suffix(".partial").replace(path)


def _read(path: Path) -> Trained:
    tensors = load_file(path)
    best_epoch, seconds = tensors.pop("numbers").tolist()
    predictions, at_marks, averaged = (tensors.pop(name).numpy() for name in _ARRAYS)
    best, last = (
        {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
        for part in ("best/", "last/")
    )
    return Trained(predictions, at_marks, averaged, int(best_epoch), seconds, best, last)


_ARRAYS = ("predictions", "at_marks", "averaged")
