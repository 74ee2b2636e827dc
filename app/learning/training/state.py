"""The state of a run on disk: one safetensors file, replaced atomically, enough to go on as if never interrupted."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

STATE_FILE = "training_state.safetensors"


@dataclass(slots=True)
class Progress:
    """Where a run stands, without its tensors."""

    run_key: str
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_val_mae: float = float("inf")
    elapsed_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class RunState:
    """Network, optimiser, averaged weights and the best weights so far."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    progress: Progress

    def save(self, folder: Path) -> None:
        """Write `training_state.safetensors`; the old file stays until the new one is complete."""
        tensors = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average/{k}": v for k, v in self.average.items()}
        tensors |= {f"best/{k}": v for k, v in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{k}": torch.as_tensor(v) for k, v in values.items() if v is not None}
        contiguous = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        target = folder / STATE_FILE
        temporary = target.with_suffix(".partial")
        save_file(contiguous, temporary, metadata={"progress": json.dumps(asdict(self.progress))})
        os.replace(temporary, target)

    def restore(self, folder: Path) -> bool:
        """Load the state of the same run (`run_key`) if there is one; False, and nothing changed, otherwise."""
        path = folder / STATE_FILE
        if not path.is_file():
            return False
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            if progress.run_key != self.progress.run_key:
                return False
            groups: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
                group, _, name = key.partition("/")
                groups.setdefault(group, {})[name] = file.get_tensor(key)
        self.network.load_state_dict(groups["network"])
        self.average = groups.get("average", {})
        self.best = groups.get("best", {})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in groups.get("optimizer", {}).items():
            index, _, name = key.partition("/")
            state.setdefault(int(index), {})[name] = value
        described = self.optimizer.state_dict()
        described["state"] = state
        self.optimizer.load_state_dict(described)
        self.progress = progress
        return True
