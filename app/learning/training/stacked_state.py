"""The stack of members that still train, and its way from and to the states of single runs, in memory and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from app.learning.networks.stacked import StackedWeights
from app.learning.training.plan import TrainingPlan
from app.learning.training.state import RunState

ADAMW_BETAS, ADAMW_EPS, SGD_MOMENTUM = (0.9, 0.999), 1e-8, 0.9
_MOMENTS = {"adamw": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}


def single_optimizer(network: nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """The optimiser whose state a single run of the plan would have."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.SGD(trainable) if plan.optimizer == "sgd" else torch.optim.AdamW(trainable)


@dataclass(frozen=True, slots=True)
class Stack:
    """K members; each tensor has a leading K, the matrices are (K, P) like `weights.trainable`.

    `average` is None where no averaged weights are kept. `best` holds the weights of each member's best epoch.
    """

    weights: StackedWeights
    moments: tuple[Tensor, ...]
    average: Tensor | None
    best: StackedWeights

    @classmethod
    def of(cls, states: Sequence[RunState], plan: TrainingPlan, device: torch.device) -> "Stack":
        """A copy of the states of K single runs. Raises NotStackable."""
        networks = [state.network for state in states]
        weights = StackedWeights.of(networks, device)

        def matrix(row: int, values: Sequence[Tensor | None]) -> Tensor:
            own = weights.trainable[row]
            parts = [
                torch.zeros(shape) if v is None else v for v, (_, shape) in zip(values, weights.layout, strict=True)
            ]
            return torch.cat([part.detach().flatten().to(own) for part in parts])

        def by_name(row: int, tensors: dict[str, Tensor]) -> Tensor:
            return matrix(row, [tensors[name] for name, _ in weights.layout]) if tensors else weights.trainable[row]

        moments = []
        for moment in _MOMENTS[plan.optimizer]:
            rows = []
            for row, state in enumerate(states):
                trainable = [p for p in state.network.parameters() if p.requires_grad]
                rows.append(matrix(row, [state.optimizer.state.get(p, {}).get(moment) for p in trainable]))
            moments.append(torch.stack(rows))
        averages = [by_name(row, state.average) for row, state in enumerate(states)]
        best = [by_name(row, state.best) for row, state in enumerate(states)]
        buffers = {
            name: torch.stack([s.best.get(name, v[row]).to(v) for row, s in enumerate(states)])
            for name, v in weights.buffers.items()
        }
        return cls(
            weights=weights,
            moments=tuple(moments),
            average=torch.stack(averages) if plan.ema_decay > 0 else None,
            best=StackedWeights(weights.layout, torch.stack(best), weights.frozen, buffers),
        )

    @property
    def to_keep(self) -> Tensor:
        """The trainable weights that are validated and kept: averaged ones where there are, (K, P)."""
        return self.weights.trainable if self.average is None else self.average

    def keep_as_best(self, rows: Tensor) -> None:
        """The weights of the members at `rows` (K',) are their best so far."""
        self.best.trainable[rows] = self.to_keep[rows]
        for name, value in self.weights.buffers.items():
            self.best.buffers[name][rows] = value[rows]

    def select(self, rows: Tensor) -> "Stack":
        """A copy of the members at `rows` (K',)."""
        return Stack(
            weights=self.weights.select(rows),
            moments=tuple(moment[rows] for moment in self.moments),
            average=None if self.average is None else self.average[rows],
            best=self.best.select(rows),
        )

    def store(self, row: int, state: RunState, plan: TrainingPlan) -> None:
        """Write the member at `row` into the state of a single run; its network and optimiser are overwritten."""
        weights = self.weights
        state.network.load_state_dict(weights.state_dict(row))
        names = _MOMENTS[plan.optimizer]
        moments = [dict(_split(weights, moment[row])) for moment in self.moments]
        for name, parameter in state.network.named_parameters():
            if parameter.requires_grad:
                values = {key: moment[name].clone() for key, moment in zip(names, moments, strict=True)}
                if plan.optimizer == "adamw":
                    values["step"] = torch.tensor(float(state.progress.step))
                state.optimizer.state[parameter] = values
        state.best = {name: value.clone() for name, value in self.best.state_dict(row).items()}
        if self.average is not None:
            state.average = {name: value.clone() for name, value in weights.state_dict(row).items()}
            state.average |= {name: value.clone() for name, value in _split(weights, self.average[row])}


def _split(weights: StackedWeights, vector: Tensor) -> list[tuple[str, Tensor]]:
    """One member's vector (P,) by name of weight."""
    parts = torch.split(vector, [shape.numel() for _, shape in weights.layout])
    return [(name, part.view(shape)) for (name, shape), part in zip(weights.layout, parts, strict=True)]
