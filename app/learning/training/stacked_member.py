"""One run among several that are trained together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from app.learning.networks.stacked import NotStackable, require_stackable
from app.learning.targets import TargetMap, apply_transform
from app.learning.training.loop import LabelledSamples
from app.learning.training.plan import TrainingPlan

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Member:
    """One of the runs. Networks of one architecture with their own weights; plans equal but for the seed."""

    network: nn.Module
    plan: TrainingPlan
    target_map: TargetMap
    train: LabelledSamples
    val: LabelledSamples


def member_folder(work_dir: Path, index: int) -> Path:
    """Where the state of a member is kept."""
    return work_dir / f"member_{index}"


def member_key(run_key: str, index: int, member: Member) -> str:
    """`run_key` of a member's own state."""
    return f"{run_key}/{index}/{member.plan.seed}"


def require_equal_plans(members: Sequence[Member]) -> None:
    """Raises NotStackable for members that cannot go in lock-step."""
    require_stackable([m.network for m in members])
    for index, member in enumerate(members):
        if replace(member.plan, seed=0) != replace(members[0].plan, seed=0):
            raise NotStackable(f"Member {index} is trained otherwise than member 0: only the seed may differ.")
        if member.plan.schedule == "plateau" or member.plan.optimizer == "adam":
            raise NotStackable("Plateau schedules and optimizer 'adam' are for single runs.")
        if member.train.error_weights is not None:
            raise NotStackable("Rows with weights are for single runs.")
        if len(member.train.samples) < 2 or len(member.val.samples) < 1:
            raise NotStackable(f"Member {index} needs at least two training rows and one validation row.")


def validation_errors(member: Member, outputs: FloatArray) -> tuple[float, float]:
    """Validation MAE in physical units and of the transformed label, as a single run counts them."""
    physical = np.abs(member.target_map.to_physical(outputs) - member.val.labels).mean()
    labels = apply_transform(member.val.labels, member.target_map.transform)
    return float(physical), float(np.abs(member.target_map.to_transformed(outputs) - labels).mean())
