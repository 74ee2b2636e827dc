"""Runs that differ in seed and rows only: in lock-step where that is faster, one after another elsewhere."""

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from app.learning.networks.stacked import NotStackable
from app.learning.training.loop import FitResult, Trainer
from app.learning.training.stacked import OnMemberEvent, StackedTrainer
from app.learning.training.stacked_member import Member, member_folder, member_key, require_equal_plans

log = logging.getLogger(__name__)


def train_members(
    members: Sequence[Member],
    work_dir: Path,
    run_key: str,
    device: torch.device,
    on_event: OnMemberEvent,
    should_stop: Callable[[], bool],
    side_by_side: bool | None = None,
) -> list[FitResult]:
    """Train all members, leaving the best weights in their networks; results in the members' order.

    `side_by_side` None stacks them on a GPU where that is possible and runs them one after another elsewhere. Both
    ways give the same numbers up to rounding and go on from each other's states. A stack that does not fit into memory
    goes on in halves. Raises NotStackable only where `side_by_side` is True; else what `Trainer.fit` raises.
    """
    together = _Together(members, work_dir, run_key, device, on_event, should_stop)
    if side_by_side is None:
        side_by_side = device.type == "cuda" and len(members) > 1 and _is_stackable(members)
    if side_by_side:
        return together.stacked(range(len(members)))
    return [together.alone(number) for number in range(len(members))]


def _is_stackable(members: Sequence[Member]) -> bool:
    try:
        require_equal_plans(members)
    except NotStackable as reason:
        log.info("the members are trained one after another: %s", reason)
        return False
    return True


class _Together:
    """All members, of which any number may be trained at once."""

    def __init__(
        self, members: Sequence[Member], work_dir: Path, run_key: str, device: torch.device, on_event: OnMemberEvent,
        should_stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.members, self.work_dir, self.run_key, self.device = members, work_dir, run_key, device
        self.on_event, self.should_stop = on_event, should_stop

    def alone(self, number: int) -> FitResult:
        """A run of its own, which halves its batches where they do not fit into memory."""
        m = self.members[number]
        folder, key = member_folder(self.work_dir, number), member_key(self.run_key, number, m)
        trainer = Trainer(m.network, m.plan, m.target_map, m.train, m.val, folder, key, self.device)
        return trainer.fit(partial(self.on_event, number), self.should_stop)

    def stacked(self, numbers: Sequence[int]) -> list[FitResult]:
        """These members in lock-step; where they do not fit into memory, half of them after the other.

        The halves go on from the states that were saved last: what came after is computed again.
        """
        chosen = [self.members[number] for number in numbers]
        first = [{name: value.cpu().clone() for name, value in m.network.state_dict().items()} for m in chosen]
        try:
            # Not kept under a name, which would keep what it has allocated.
            return StackedTrainer(chosen, self.work_dir, self.run_key, self.device, numbers).fit(
                self.on_event, self.should_stop
            )
        except torch.OutOfMemoryError as error:
            log.warning("out of memory: a stack of %d members goes on in halves: %s", len(numbers), error)
        # Not in the handler, where the error still holds on to what the stack has allocated.
        self._free()
        for member, weights in zip(chosen, first, strict=True):
            member.network.load_state_dict(weights)
        if len(numbers) == 1:
            return [self.alone(numbers[0])]
        half = len(numbers) // 2
        return [*self.stacked(numbers[:half]), *self.stacked(numbers[half:])]

    def _free(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
