"""The state of a run on disk: one safetensors file, replaced atomically, enough to go on as if never interrupted."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

log = logging.getLogger(__name__)

STATE_FILE = "training_state.safetensors"


@dataclass(slots=True)
class Progress:
    """Where a run stands, without its tensors."""

    run_key: str
    epoch: int = 0
    step: int = 0
    split: int = 1
    """Parts that each batch is computed in: doubled whenever one did not fit into memory."""
    best_epoch: int = 0
    best_val_mae: float = float("inf")
    best_val_error: float = float("inf")
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
        try:
            save_file(contiguous, temporary, metadata={"progress": json.dumps(asdict(self.progress))})
            with temporary.open("rb") as file:
                # Else a power cut may leave the new name with nothing behind it.
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def restore(self, folder: Path) -> bool:
        """Load the state of the same run (`run_key`) if there is one; False, and nothing changed, otherwise.

        A damaged file is no state: the run starts over, with a warning.
        """
        path = folder / STATE_FILE
        if not path.is_file():
            return False
        try:
            progress, groups = _read(path)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            log.warning("the training state %s cannot be read, the run starts over: %s", path.name, error)
            return False
        if progress.run_key != self.progress.run_key:
            return False
        expected = self.network.state_dict()
        if not all(_fits(groups.get(group, {}), expected) for group in ("network", "best")):
            log.warning("the training state %s is of another network, the run starts over", path.name)
            return False
        self.network.load_state_dict(groups["network"])
        devices = {name: tensor.device for name, tensor in expected.items()}
        self.average = {name: tensor.to(devices[name]) for name, tensor in groups.get("average", {}).items()}
        self.best = groups["best"]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in groups.get("optimizer", {}).items():
            index, _, name = key.partition("/")
            state.setdefault(int(index), {})[name] = value
        described = self.optimizer.state_dict()
        described["state"] = state
        self.optimizer.load_state_dict(described)
        self.progress = progress
        return True


def _read(path: Path) -> tuple[Progress, dict[str, dict[str, Tensor]]]:
    """Progress and the tensors by group (`network`, `best`, `average`, `optimizer`), on the CPU."""
    with safe_open(path, framework="pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
        groups: dict[str, dict[str, Tensor]] = {}
        for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = file.get_tensor(key)
    return progress, groups


def _fits(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return shapes == {name: tensor.shape for name, tensor in expected.items()}
