"""The one training loop: any network, any samples; CPU or CUDA; resumable; the best epoch or the last one wins."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from app.core.errors import XtalforgeError
from app.learning.outputs import predict_outputs
from app.learning.samples import NetworkBatch, Samples
from app.learning.targets import TargetMap, apply_transform
from app.learning.training.feeding import training_batches
from app.learning.training.memory import RunningStatistics, can_be_halved
from app.learning.training.plan import TrainingPlan, learning_rate_at
from app.learning.training.plateau import rate_on_plateau
from app.learning.training.state import Progress, RunState
from app.learning.training.weights import copied, set_training_mode, update_average

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

log = logging.getLogger(__name__)

_SAVE_SHARE = 0.05
"""Share of the time that may go into writing the state."""


class TrainingStopped(Exception):
    """The caller asked to stop; the state on disk allows to go on."""


class TrainingDiverged(XtalforgeError):
    code, title = "training_diverged", "Training diverged"
    status = 422


@dataclass(frozen=True, slots=True)
class TrainingEvent:
    """One epoch. `val_mae` is in the property's unit, `train_loss` on the learned scale.

    `stage` says which of several trainings it belongs to, whose epochs are counted on. `split`: in how many parts each
    batch is computed, for want of memory.
    """

    epoch: int
    max_epochs: int
    train_loss: float
    val_mae: float
    best_val_mae: float
    learning_rate: float
    elapsed_s: float
    stage: str = ""
    split: int = 1


@dataclass(frozen=True, slots=True)
class FitResult:
    """What the run came to. `elapsed_s` counts every attempt, `earlier_s` those before this one.

    `best_val_error` is that of the best epoch on the transformed scale, weighted as the validation rows are.
    """

    best_epoch: int
    epochs: int
    best_val_mae: float
    best_val_error: float
    elapsed_s: float
    earlier_s: float
    history: list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Samples with labels in physical units, (B,).

    `error_weights` (B,) multiply each row's error in the loss and in the choice of the best epoch; None: 1.
    """

    samples: Samples
    labels: FloatArray
    error_weights: FloatArray | None = None


class Trainer:
    """One run of the loop. Build it, then call `fit` once."""

    def __init__(
        self,
        network: nn.Module,
        plan: TrainingPlan,
        target_map: TargetMap,
        train: LabelledSamples,
        val: LabelledSamples,
        work_dir: Path,
        run_key: str,
        device: torch.device,
    ) -> None:
        self.plan, self.target_map, self.train, self.val = plan, target_map, train, val
        self.work_dir, self.device = work_dir, device
        self._plateau_rate = plan.learning_rate
        self.network = network.to(device)
        self.targets = torch.from_numpy(target_map.to_network(train.labels)).float().to(device)
        weights = train.error_weights
        self.weights = None if weights is None else torch.from_numpy(weights).float().to(device)
        self.steps_per_epoch = max(1, len(train.samples) // plan.batch_size)
        trainable = [p for p in self.network.parameters() if p.requires_grad]
        self.state = RunState(self.network, _optimizer(trainable, plan), {}, {}, Progress(run_key))
        self._statistics = RunningStatistics(self.network)

    def fit(self, on_event: Callable[[TrainingEvent], None], should_stop: Callable[[], bool]) -> FitResult:
        """Train to the end, leaving the best weights in the network.

        Raises TrainingStopped when `should_stop` turns true (the unfinished epoch is lost), TrainingDiverged on NaN.
        """
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.state.restore(self.work_dir)
        progress = self.state.progress
        earlier_s = progress.elapsed_s
        saved_at, saving_s = time.monotonic(), 0.0
        while progress.epoch < self.plan.max_epochs and progress.elapsed_s < self.plan.max_seconds:
            if progress.epoch - progress.best_epoch >= self.plan.patience:
                break
            started = time.monotonic()
            self._plateau_rate = rate_on_plateau([h["train_loss"] for h in progress.history], self.plan.learning_rate)
            loss = self._train_epoch(progress.epoch, should_stop)
            progress.epoch += 1
            val_mae, val_error = self._validate()
            if not np.isfinite(loss) or not np.isfinite(val_error):
                raise TrainingDiverged(
                    f"The loss was no number in epoch {progress.epoch}: try a lower learning_rate than "
                    f"{self.plan.learning_rate:g}."
                )
            if self.plan.keeps(progress.epoch, val_error, progress.best_val_error):
                progress.best_epoch, progress.best_val_mae = progress.epoch, val_mae
                progress.best_val_error = val_error
                self.state.best = copied(self._weights_to_keep())
            progress.elapsed_s += time.monotonic() - started
            self._report(loss, val_mae, val_error, on_event)
            before = time.monotonic()
            if before - saved_at >= saving_s / _SAVE_SHARE:
                self.save()
                saved_at = time.monotonic()
                saving_s = saved_at - before
        self.network.load_state_dict(self.state.best)
        return FitResult(
            best_epoch=progress.best_epoch,
            epochs=progress.epoch,
            best_val_mae=progress.best_val_mae,
            best_val_error=progress.best_val_error,
            elapsed_s=progress.elapsed_s,
            earlier_s=earlier_s,
            history=progress.history,
        )

    def save(self) -> None:
        """Write the state. One that cannot be written (disk full) costs a later resume, not the run."""
        try:
            self.state.save(self.work_dir)
        except (OSError, SafetensorError) as error:
            log.warning("the training state was not saved, the training goes on: %s", error)

    def _report(self, loss: float, val_mae: float, val_error: float, on_event: Callable[[TrainingEvent], None]) -> None:
        progress = self.state.progress
        rate = self._rate(max(progress.step - 1, 0))
        progress.history.append(
            {"epoch": progress.epoch, "train_loss": loss, "val_mae": val_mae, "val_mae_transformed": val_error}
        )
        on_event(
            TrainingEvent(
                epoch=progress.epoch,
                max_epochs=self.plan.max_epochs,
                train_loss=loss,
                val_mae=val_mae,
                best_val_mae=progress.best_val_mae,
                learning_rate=rate,
                elapsed_s=progress.elapsed_s,
                split=progress.split,
            )
        )

    def _train_epoch(self, epoch: int, should_stop: Callable[[], bool]) -> float:
        """One pass in an order that depends on seed and epoch alone; mean loss on the learned scale."""
        set_training_mode(self.network)
        torch.manual_seed((self.plan.seed * 1_000_003 + epoch) % 2**63)
        order = np.random.default_rng([self.plan.seed, epoch]).permutation(len(self.train.samples))
        # Rows left over by whole batches are spread over all of them: a batch of one has no batch statistics.
        batches = np.array_split(order, self.steps_per_epoch)
        total, done = torch.zeros((), device=self.device), 0
        while done < len(batches):
            try:
                for loss in self._steps(batches[done:], should_stop):
                    total += loss
                    done += 1
            except torch.OutOfMemoryError:
                if not can_be_halved(len(batches[done]), self.state.progress.split):
                    raise
            else:
                break
            # Not in the handler, where the error still holds on to what the step has allocated.
            self._halve_batches()
        return float(total) / len(order)

    def _steps(self, batches: Sequence[IntArray], should_stop: Callable[[], bool]) -> Iterator[Tensor]:
        """One step for each batch; the sum of its rows' losses."""
        progress = self.state.progress
        split = progress.split
        parts = [part for batch in batches for part in np.array_split(batch, split)]
        ready = training_batches(self.train.samples, parts, self.device)
        for rows in batches:
            if should_stop():
                raise TrainingStopped
            rate = self._rate(progress.step)
            for group in self.state.optimizer.param_groups:
                group["lr"] = rate
            loss = self._train_step(itertools.islice(ready, split), len(rows))
            progress.step += 1
            yield loss * len(rows)

    def _halve_batches(self) -> None:
        """Compute each batch in twice as many parts from now on. The step that failed has left no trace.

        Steps and rates stay those of whole batches; only batch normalisation sees parts.
        """
        self._statistics.restore()
        self.state.optimizer.zero_grad(set_to_none=True)
        self.state.progress.split *= 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("out of memory: batches are computed in %d parts from now on", self.state.progress.split)

    def _rate(self, step: int) -> float:
        if self.plan.schedule == "plateau":
            return self._plateau_rate
        return learning_rate_at(self.plan, step, self.steps_per_epoch)

    def _train_step(self, parts: Iterable[tuple[IntArray, NetworkBatch]], n_rows: int) -> Tensor:
        """One step on a batch of `n_rows` that comes in parts; its mean loss. Raises OutOfMemoryError before it."""
        self._statistics.keep()
        self.state.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for indices, batch in parts:
            loss = self._loss(indices, batch) * (len(indices) / n_rows)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        try:
            self._update_weights()
        except torch.OutOfMemoryError as error:  # some weights may have changed: such a step is not repeated
            raise MemoryError("no memory for the state of the optimiser") from error
        return total

    def _loss(self, indices: IntArray, batch: NetworkBatch) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.precision == "bfloat16"):
            outputs = self.network(batch)
        rows = torch.from_numpy(indices).to(self.device)
        targets = self.targets[rows]
        if self.weights is not None:
            outputs, targets = outputs * self.weights[rows], targets * self.weights[rows]
        return _LOSSES[self.plan.loss](outputs, targets)

    def _update_weights(self) -> None:
        if self.plan.gradient_clip > 0:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.gradient_clip)
        self.state.optimizer.step()
        if self.plan.ema_decay > 0:
            update_average(self.state.average, self.network, self.plan.ema_decay, self.state.progress.step)

    def _weights_to_keep(self) -> dict[str, Tensor]:
        return self.state.average if self.plan.ema_decay > 0 else self.network.state_dict()

    def _validate(self) -> tuple[float, float]:
        """Validation MAE in physical units and of the transformed label, of the averaged weights where they are kept.

        The second chooses the best epoch: in GPa a few hard materials would decide for all.
        """
        if self.plan.ema_decay > 0:
            live = copied(self.network.state_dict())
            self.network.load_state_dict(self.state.average)
        outputs = predict_outputs(self.network, self.val.samples, self.device)
        if self.plan.ema_decay > 0:
            self.network.load_state_dict(live)
        physical = np.abs(self.target_map.to_physical(outputs) - self.val.labels).mean()
        labels = apply_transform(self.val.labels, self.target_map.transform)
        errors = np.abs(self.target_map.to_transformed(outputs) - labels)
        weights = 1.0 if self.val.error_weights is None else self.val.error_weights
        return float(physical), float((errors * weights).mean())


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mae": functional.l1_loss,
    "mse": functional.mse_loss,
    "huber": functional.huber_loss,
}


def _optimizer(parameters: list[nn.Parameter], plan: TrainingPlan) -> torch.optim.Optimizer:
    if plan.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=plan.learning_rate, momentum=0.9, weight_decay=plan.weight_decay)
    # Fused: one pass over the weights at each step instead of a dozen.
    kind = torch.optim.Adam if plan.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
