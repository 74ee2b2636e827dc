"""Trainings side by side: K runs that differ in seed and rows only, in lock-step, each as if it ran alone.

A run on few rows leaves a GPU idle: most of its time is the launching of small kernels. K such runs with their weights
stacked launch hardly more of them than one. Dimensions: K members, S steps of an epoch, B rows of a step.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from app.learning.networks.stacked import StackedForward
from app.learning.networks.stacked_batch import StackedBatch
from app.learning.networks.stacked_layers import for_evaluation
from app.learning.training.loop import (
    FitResult,
    TrainingDiverged,
    TrainingEvent,
    TrainingStopped,
)
from app.learning.training.plan import learning_rate_at
from app.learning.training.stacked_epoch import EpochRows
from app.learning.training.stacked_member import (
    Member,
    member_folder,
    member_key,
    require_equal_plans,
    validation_errors,
)
from app.learning.training.stacked_optimizer import factor_table, update
from app.learning.training.stacked_samples import StackedSamples, upload, within_budget
from app.learning.training.stacked_state import Stack, single_optimizer
from app.learning.training.state import Progress, RunState

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
OnMemberEvent = Callable[[int, TrainingEvent], None]

log = logging.getLogger(__name__)

_SAVE_SHARE = 0.05
"""Share of the time that may go into writing the states."""
_EVALUATION_COST = {"cpu": 20_000, "cuda": 500_000}
"""Edges of all members together in one evaluation batch."""
_LOSSES: dict[str, Callable[..., Tensor]] = {
    "mae": functional.l1_loss,
    "mse": functional.mse_loss,
    "huber": functional.huber_loss,
}


class StackedTrainer:
    """K runs of the loop in lock-step. Build it, then call `fit` once.

    The host waits for the device once an epoch. `elapsed_s` of every member counts the stack's time as its own.
    """

    def __init__(
        self, members: Sequence[Member], work_dir: Path, run_key: str, device: torch.device,
        numbers: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """`numbers` of the members among more that are trained together; they count from 0. Raises NotStackable."""
        require_equal_plans(members)
        self.members, self.device = members, device
        self.numbers = range(len(members)) if numbers is None else numbers
        self.folders = [member_folder(work_dir, number) for number in self.numbers]
        self.plan = members[0].plan
        self.n_steps = [max(1, len(m.train.samples) // self.plan.batch_size) for m in members]
        self.targets = [m.target_map.to_network(m.train.labels).astype(np.float32) for m in members]
        self.train = StackedSamples([m.train.samples for m in members], device)
        self.val = StackedSamples([m.val.samples for m in members], device)
        self.states = []
        for number, member in zip(self.numbers, members, strict=True):
            network, progress = member.network.to(device), Progress(member_key(run_key, number, member))
            self.states.append(RunState(network, single_optimizer(network, self.plan), {}, {}, progress))
        self.network = StackedForward(members[0].network, device)

    def fit(self, on_event: OnMemberEvent, should_stop: Callable[[], bool]) -> list[FitResult]:
        """Train all to their ends, leaving the best weights in the networks; results in the members' order.

        Raises TrainingStopped when `should_stop` turns true (the unfinished epoch is lost), TrainingDiverged on NaN.
        """
        for folder, state in zip(self.folders, self.states, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            state.restore(folder)
        earlier_s = [state.progress.elapsed_s for state in self.states]
        # Members with more steps first: those that still have one are then a slice of the stack.
        active = sorted(filter(self._goes_on, range(len(self.members))), key=lambda index: -self.n_steps[index])
        if active:
            self._train(active, on_event, should_stop)
        results = []
        for state, before in zip(self.states, earlier_s, strict=True):
            state.network.load_state_dict(state.best)
            p = state.progress
            results.append(
                FitResult(p.best_epoch, p.epoch, p.best_val_mae, p.best_val_error, p.elapsed_s, before, p.history)
            )
        return results

    def _goes_on(self, index: int) -> bool:
        progress = self.states[index].progress
        is_within = progress.epoch < self.plan.max_epochs and progress.elapsed_s < self.plan.max_seconds
        return is_within and progress.epoch - progress.best_epoch < self.plan.patience

    def _train(self, active: list[int], on_event: OnMemberEvent, should_stop: Callable[[], bool]) -> None:
        """`active`: the members in the order of the stack; whoever has come to the end leaves it."""
        stack = Stack.of([self.states[index] for index in active], self.plan, self.device)
        saved_at, saving_s = time.monotonic(), 0.0
        while active:
            started = time.monotonic()
            losses = self._train_epoch(stack, active, should_stop)
            outputs = self._validate(stack, active)
            # The one wait for the device.
            numbers = torch.cat([losses[:, None], outputs], 1).double().cpu().numpy()
            self._count(stack, active, numbers, started)
            for index in sorted(active):
                self._report(index, on_event)
            before = time.monotonic()
            staying = [row for row, index in enumerate(active) if self._goes_on(index)]
            leaving = sorted(set(range(len(active))) - set(staying))
            is_due = before - saved_at >= saving_s / _SAVE_SHARE
            self._save(stack, active, range(len(active)) if is_due else leaving)
            if is_due:
                saved_at = time.monotonic()
                saving_s = saved_at - before
            if leaving:
                stack = stack.select(torch.tensor(staying, dtype=torch.int64, device=self.device))
                active = [active[row] for row in staying]

    def _train_epoch(self, stack: Stack, active: list[int], should_stop: Callable[[], bool]) -> Tensor:
        """Each member's next epoch; mean losses on the learned scale, (K,) on the device."""
        progress = [self.states[index].progress for index in active]
        n_steps = [self.n_steps[index] for index in active]
        seeds = [self.members[index].plan.seed for index in active]
        epoch = EpochRows.of(seeds, [p.epoch for p in progress], n_steps, [self.targets[index] for index in active])
        factors = upload(factor_table(self.plan, [p.step for p in progress], n_steps), self.device)
        targets = upload(epoch.targets, self.device)
        is_real = upload((epoch.rows >= 0).astype(np.float32), self.device)
        rows = _numbered(epoch.rows, self.train.first[active][:, None])
        total = torch.zeros(len(active), device=self.device)
        for k, steps in epoch.runs():
            for step, batch in zip(steps, self.train.batches(rows[steps, :k]), strict=True):
                if should_stop():
                    raise TrainingStopped
                total[:k] += self._train_step(stack, batch, targets[step, :k], is_real[step, :k], factors[step, :k])
        return total / upload(np.array([len(self.targets[index]) for index in active]), self.device)

    def _train_step(
        self, stack: Stack, batch: StackedBatch, targets: Tensor, is_real: Tensor, factors: Tensor
    ) -> Tensor:
        """One step of the first K members; sum of each one's losses over its rows, (K,)."""
        trainable = stack.weights.trainable[: batch.n_members].detach().requires_grad_()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.precision == "bfloat16"):
            outputs = self.network.train(stack.weights.head(batch.n_members), trainable, batch)
        sums = (_LOSSES[self.plan.loss](outputs, targets, reduction="none") * is_real).sum(1)
        # No weight belongs to two members, so the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad((sums / is_real.sum(1)).sum(), trainable)
        update(stack, gradient, factors, self.plan)
        return sums.detach()

    @torch.inference_mode()
    def _validate(self, stack: Stack, active: list[int]) -> Tensor:
        """Outputs of the validation rows on the learned scale, (K, rows of the member that has most)."""
        sizes = np.array([len(self.members[index].val.samples) for index in active])
        order = np.arange(sizes.max())
        rows = _numbered(np.where(order < sizes[:, None], order, -1), self.val.first[active][:, None])
        weights, norms = for_evaluation(stack.weights.named(stack.to_keep), stack.weights.buffers)
        parts = within_budget(self.val.costs[rows].sum(0), _EVALUATION_COST[self.device.type])
        batches = (batch for part in parts for batch in self.val.batches(rows[None, :, part]))
        return torch.cat([self.network(weights, norms, batch) for batch in batches], 1)

    def _count(self, stack: Stack, active: list[int], numbers: FloatArray, started: float) -> None:
        """Move each member's progress by the epoch and keep the weights that are better than any before.

        numbers (K, 1 + rows): loss and validation outputs. Raises TrainingDiverged.
        """
        better = []
        for row, index in enumerate(active):
            member, progress = self.members[index], self.states[index].progress
            progress.epoch += 1
            progress.step += self.n_steps[index]
            loss, outputs = float(numbers[row, 0]), numbers[row, 1 : 1 + len(member.val.labels)]
            val_mae, val_error = validation_errors(member, outputs)
            if not np.isfinite(loss) or not np.isfinite(val_error):
                raise TrainingDiverged(
                    f"The loss of member {self.numbers[index]} (seed {member.plan.seed}) was no number in epoch "
                    f"{progress.epoch}: try a lower learning_rate than {self.plan.learning_rate:g}."
                )
            if self.plan.keeps(progress.epoch, val_error, progress.best_val_error):
                progress.best_epoch, progress.best_val_mae, progress.best_val_error = progress.epoch, val_mae, val_error
                better.append(row)
            progress.history.append(
                {"epoch": progress.epoch, "train_loss": loss, "val_mae": val_mae, "val_mae_transformed": val_error}
            )
        stack.keep_as_best(torch.tensor(better, dtype=torch.int64, device=self.device))
        for index in active:
            self.states[index].progress.elapsed_s += time.monotonic() - started

    def _report(self, index: int, on_event: OnMemberEvent) -> None:
        progress = self.states[index].progress
        event = TrainingEvent(
            epoch=progress.epoch,
            max_epochs=self.plan.max_epochs,
            train_loss=progress.history[-1]["train_loss"],
            val_mae=progress.history[-1]["val_mae"],
            best_val_mae=progress.best_val_mae,
            learning_rate=learning_rate_at(self.plan, max(progress.step - 1, 0), self.n_steps[index]),
            elapsed_s=progress.elapsed_s,
        )
        on_event(self.numbers[index], event)

    def _save(self, stack: Stack, active: list[int], rows: Sequence[int]) -> None:
        """A state that cannot be written (disk full) costs a later resume, not the run."""
        for row in rows:
            state = self.states[active[row]]
            stack.store(row, state, self.plan)
            try:
                state.save(self.folders[active[row]])
            except (OSError, SafetensorError) as error:
                log.warning("the training state was not saved, the training goes on: %s", error)


def _numbered(rows: IntArray, first: IntArray) -> IntArray:
    """Each member's rows counted through all members' samples; -1 stays."""
    return np.where(rows < 0, rows, rows + first)
