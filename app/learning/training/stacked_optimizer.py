"""AdamW and SGD on K members' weights in one matrix, each member at its own step of its own schedule.

The formulas are those of torch.optim, so that a stack moves like K single runs. Dimensions: K members, P weights.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.learning.training.plan import TrainingPlan, learning_rate_at
from app.learning.training.stacked_state import ADAMW_BETAS, ADAMW_EPS, SGD_MOMENTUM, Stack

_CLIP_EPS = 1e-6
N_FACTORS = 5


def step_factors(plan: TrainingPlan, step: int, steps_per_epoch: int) -> list[float]:
    """All that a member's step number decides, so that the device need not know it.

    Learning rate, its AdamW step size, decay of the weights, root of the second moment's bias, share of the new weights
    in the averaged ones.
    """
    rate = learning_rate_at(plan, step, steps_per_epoch)
    first, second = (1.0 - beta ** (step + 1) for beta in ADAMW_BETAS)
    # The average starts as the weights after the first step.
    share = 1.0 - min(plan.ema_decay, (1.0 + step) / (10.0 + step)) if step > 0 else 1.0
    return [rate, rate / first, 1.0 - rate * plan.weight_decay, second**0.5, share]


def factor_table(
    plan: TrainingPlan, first_steps: Sequence[int], steps_per_epoch: Sequence[int]
) -> npt.NDArray[np.float64]:
    """`step_factors` of an epoch, (S, K, 5) with the S of the longest; members' own first steps and lengths."""
    table = np.zeros((max(steps_per_epoch), len(first_steps), N_FACTORS))
    for member, (first, n_steps) in enumerate(zip(first_steps, steps_per_epoch, strict=True)):
        table[:n_steps, member] = [step_factors(plan, first + i, n_steps) for i in range(n_steps)]
    return table


@torch.no_grad()
def update(stack: Stack, gradient: Tensor, factors: Tensor, plan: TrainingPlan) -> None:
    """One step of the first K members of the stack; gradient (K, P) is used up, factors (K, 5)."""
    k = gradient.shape[0]
    rate, step_size, decay, root_bias, share = factors.to(gradient.dtype).unsqueeze(2).unbind(1)
    weights = stack.weights.trainable[:k]
    moments = [moment[:k] for moment in stack.moments]
    if plan.gradient_clip > 0:
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((plan.gradient_clip / (norms + _CLIP_EPS)).clamp_(max=1.0))
    if plan.optimizer == "sgd":
        if plan.weight_decay > 0:
            gradient.add_(weights, alpha=plan.weight_decay)
        moments[0].mul_(SGD_MOMENTUM).add_(gradient)
        weights.addcmul_(moments[0], rate, value=-1.0)
    else:
        if plan.weight_decay > 0:
            weights.mul_(decay)
        moments[0].lerp_(gradient, 1.0 - ADAMW_BETAS[0])
        moments[1].mul_(ADAMW_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - ADAMW_BETAS[1])
        spread = torch.sqrt(moments[1]).div_(root_bias).add_(ADAMW_EPS)
        weights.addcmul_(torch.div(moments[0], spread, out=spread), step_size, value=-1.0)
    if stack.average is not None:
        stack.average[:k].lerp_(weights, share.expand_as(weights))
