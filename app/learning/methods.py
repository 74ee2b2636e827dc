"""Transfer methods on offer and their hyperparameters. Importable without torch."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.core.errors import InvalidJob
from app.registry.manifest import Architecture


class Method(StrEnum):
    SCRATCH = "scratch"
    FINE_TUNE = "fine_tune"
    FREEZE = "freeze"
    FREEZE_EARLY = "freeze_early"


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """What a method does to the base model's weights."""

    name: Method
    architectures: tuple[Architecture, ...]
    needs_base: bool
    description: str


METHODS: tuple[MethodInfo, ...] = (
    MethodInfo(
        Method.SCRATCH,
        (Architecture.CGCNN, Architecture.ELEMNET),
        False,
        "Train every weight from random numbers. The baseline any transfer has to beat.",
    ),
    MethodInfo(
        Method.FINE_TUNE,
        (Architecture.CGCNN, Architecture.ELEMNET),
        True,
        "Start from the base model's weights and train them all, at a lower learning rate (Lee & Asahi 2021, 2.2).",
    ),
    MethodInfo(
        Method.FREEZE,
        (Architecture.CGCNN,),
        True,
        "Keep embedding and convolutions of the base model, train only the fully connected layers (Lee & Asahi 2021, "
        "S2).",
    ),
    MethodInfo(
        Method.FREEZE_EARLY,
        (Architecture.CGCNN,),
        True,
        "Keep the embedding and the first convolutions (`frozen_convolutions`) of the base model, train the rest.",
    ),
)


def method_info(method: Method) -> MethodInfo:
    return next(info for info in METHODS if info.name == method)


class Hyperparameters(BaseModel):
    """Of one training run. What is left out is chosen; the job echoes what was chosen."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    preset: Literal["default", "paper"] | None = Field(
        default=None, description="`paper`: the settings of Lee & Asahi 2021, Table S1. `default`: better ones."
    )
    max_epochs: int | None = Field(default=None, ge=1, le=5000, description="Passes over the training rows.")
    patience: int | None = Field(
        default=None, ge=1, le=5000, description="Stop after so many epochs without a better one."
    )
    batch_size: int | None = Field(default=None, ge=2, le=8192, description="Rows per step.")
    learning_rate: float | None = Field(default=None, gt=0, le=10, description="The highest one of the schedule.")
    weight_decay: float | None = Field(default=None, ge=0, le=1, description="L2 penalty of the weights.")
    optimizer: Literal["adamw", "sgd"] | None = None
    schedule: Literal["one_cycle", "step", "constant"] | None = None
    loss: Literal["mae", "mse", "huber"] | None = None
    scaling: Literal["none", "standard", "tanh"] | None = Field(default=None, description="`tanh`: eq. 6 of the paper.")
    ema_decay: float | None = Field(
        default=None, ge=0, lt=1, description="Decay per step of the averaged weights that are kept; 0 = none."
    )
    gradient_clip: float | None = Field(default=None, ge=0, description="Largest gradient norm; 0 = unbounded.")
    split: Literal["formula", "formula_hash", "random"] | None = Field(
        default=None, description="`formula`: no formula stands in two of train, validation and test."
    )
    train_fraction: float | None = Field(default=None, gt=0, lt=1, description="Share of rows that train.")
    val_fraction: float | None = Field(default=None, gt=0, lt=1, description="Share that stops the training.")
    frozen_convolutions: int | None = Field(default=None, ge=0, le=12, description="For `freeze_early`.")
    hidden_dim: int | None = Field(default=None, ge=1, le=4096, description="Width of the fully connected layer.")
    precision: Literal["float32", "bfloat16"] | None = None
    max_seconds: float | None = Field(default=None, gt=0, description="Stop training (not the job) after so long.")


_CGCNN_DEFAULT = Hyperparameters(
    preset="default",
    max_epochs=100,
    patience=100,
    batch_size=32,
    learning_rate=3e-3,
    weight_decay=1e-2,
    optimizer="adamw",
    schedule="one_cycle",
    loss="mae",
    scaling="standard",
    ema_decay=0.0,
    gradient_clip=1.0,
    split="formula",
    train_fraction=4 / 6,
    val_fraction=1 / 6,
    frozen_convolutions=1,
    hidden_dim=128,
    precision="float32",
    max_seconds=86_400.0,
)

_CGCNN_PAPER = _CGCNN_DEFAULT.model_copy(
    update={
        "preset": "paper",
        "max_epochs": 500,
        "patience": 500,
        "batch_size": 256,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "optimizer": "sgd",
        "schedule": "step",
        "scaling": "tanh",
        "gradient_clip": 0.0,
        "split": "random",
    }
)

_ELEMNET_DEFAULT = _CGCNN_DEFAULT.model_copy(
    update={"max_epochs": 100, "batch_size": 64, "learning_rate": 3e-4, "weight_decay": 1e-4, "patience": 100}
)


def resolve_hyperparameters(
    architecture: Architecture, method: Method, given: Hyperparameters, n_rows: int
) -> Hyperparameters:
    """Every field filled: what was given, else the preset's value for this method and this many rows.

    Raises InvalidJob for contradictions.
    """
    info = method_info(method)
    if architecture not in info.architectures:
        offer = ", ".join(m.name for m in METHODS if architecture in m.architectures)
        raise InvalidJob(f"Method {method.value!r} is not offered for {architecture.value} models. On offer: {offer}.")
    if architecture is Architecture.ELEMNET:
        if given.preset == "paper":
            raise InvalidJob("Preset 'paper' holds the settings of the CGCNN paper; composition models have 'default'.")
        base = _ELEMNET_DEFAULT
    else:
        base = _CGCNN_PAPER if given.preset == "paper" else _CGCNN_DEFAULT
    chosen = dict(base.model_dump())
    chosen.update(_for_method(architecture, method, paper=given.preset == "paper"))
    chosen.update({k: v for k, v in given.model_dump().items() if v is not None})
    resolved = Hyperparameters.model_validate(chosen)
    if chosen["train_fraction"] + chosen["val_fraction"] >= 1:
        raise InvalidJob("train_fraction and val_fraction must leave rows for the test set: their sum must be below 1.")
    if chosen["batch_size"] > n_rows * chosen["train_fraction"]:
        resolved.batch_size = max(2, int(n_rows * chosen["train_fraction"]) // 2)
    return resolved


def _for_method(architecture: Architecture, method: Method, paper: bool) -> dict[str, float]:
    """What transfer changes: a lower learning rate and, in the paper, a narrower fully connected layer."""
    if method is Method.SCRATCH:
        return {}
    if paper:
        return {"learning_rate": 0.005, "hidden_dim": 64}
    if architecture is Architecture.ELEMNET:
        return {"learning_rate": 1e-4}
    return {"learning_rate": 3e-3} if method is Method.FREEZE else {"learning_rate": 1e-3}
