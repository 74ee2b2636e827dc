"""One training run as every strategy sees it, and what each of them hands back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.representations import Representation
from app.learning.splits import Split
from app.learning.tables import PreparedTable
from app.learning.targets import TargetMap
from app.learning.training.loop import TrainingEvent
from app.learning.transfer import Base
from app.registry.manifest import Architecture, InputKind, PretextRecord, PropertyRecord, TargetScaling


class TrainingSpec(BaseModel):
    """What to train; `hyperparameters` must be resolved (every field the method uses filled).

    `network` and `graph` are those of a network that starts from nothing, where they are not the usual ones.
    `data_kind` is what the rows hold, for a method that makes of it what fits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    method: Method
    architecture: Architecture
    property: PropertyRecord
    seed: int
    hyperparameters: Hyperparameters
    network: dict[str, Any] = {}
    graph: GraphSettings | None = None
    dataset_name: str
    dataset_sha256: str | None = None
    licence: str | None = None
    command: str | None = None
    description: str = ""
    scope: str = ""
    only_when_named: bool = False
    data_kind: InputKind = InputKind.STRUCTURE
    pretext: PretextRecord | None = None


@dataclass(frozen=True, slots=True)
class SearchEvent:
    """A search for hyperparameters is about to do fit `done` + 1 of `total`."""

    done: int
    total: int
    text: str


@dataclass(frozen=True, slots=True)
class Run:
    """A specification with the rows it trains on. `run_key` names the run in the state it keeps in `work_dir`.

    `sources` are pretrained models that a method may use as it sees fit, beside the one `base`.
    """

    spec: TrainingSpec
    base: Base | None
    prepared: PreparedTable
    representation: Representation
    split: Split
    run_key: str
    work_dir: Path
    device: torch.device
    on_event: Callable[[TrainingEvent], None]
    on_search: Callable[[SearchEvent], None]
    should_stop: Callable[[], bool]
    sources: tuple[Base, ...] = ()

    def transformed_labels(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Labels of these rows on the transformed scale, (n,)."""
        scale = TargetMap(self.spec.property.transform, TargetScaling(kind="none"))
        return scale.to_network(self.prepared.labels[rows])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model. `split` holds the rows as they were used, `search` what was chosen and from what.

    `held_out_errors` (n_train,) are absolute errors of the training rows, on the learned scale, each by a model
    that had not seen the row; NaN where that was not measured.
    """

    network: nn.Module
    target_map: TargetMap
    split: Split
    best_epoch: int = 0
    epochs: int = 0
    earlier_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    search: dict[str, Any] | None = None
    software: dict[str, str] = field(default_factory=dict)
    held_out_errors: npt.NDArray[np.float64] | None = None
