"""Hyperparameters of a training run as users give them. Importable without torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NetworkName = Literal["cgcnn", "cgcnn-plain", "schnet-1", "schnet-2", "elemnet-17"]
FeatureName = Literal["elemental_fractions", "physical_attributes", "magpie", "bonding"]


class Hyperparameters(BaseModel):
    """Of one training run. What is left out is chosen; the job echoes what was chosen."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    preset: Literal["default", "paper"] | None = Field(
        default=None, description="`paper`: the settings of the paper the method is from. `default`: better ones."
    )
    network: NetworkName | None = Field(
        default=None, description="Which network `scratch` trains; that of the data's own kind when left out."
    )
    features: FeatureName | None = Field(
        default=None,
        description="Of an ElemNet trained from scratch: `elemental_fractions` or `physical_attributes`. Of baselines: "
        "`magpie`, of the composition, or `bonding`, these and what the structure says of its bonds.",
    )
    target: Literal["per_atom", "total"] | None = Field(
        default=None,
        description="For SchNet and properties per atom. `total`: the error of the whole cell is learned from; labels "
        "and predictions stay per atom.",
    )
    layer: Annotated[int, Field(ge=1, le=16)] | Literal["auto"] | None = Field(
        default=None,
        description="Hidden layer of the source whose activations are the features, counted from 1. `auto`: layers 1 "
        "to 4 are tried, in short trainings where the schedule allows; validation decides.",
    )
    max_epochs: int | None = Field(
        default=None, ge=1, le=5000, description="Passes over the training rows.", examples=[100]
    )
    patience: int | None = Field(
        default=None, ge=1, le=5000, description="Stop after so many epochs without a better one.", examples=[30]
    )
    batch_size: int | None = Field(default=None, ge=2, le=8192, description="Rows per step.", examples=[64])
    learning_rate: float | None = Field(
        default=None, gt=0, le=10, description="The highest one of the schedule.", examples=[0.002]
    )
    weight_decay: float | None = Field(
        default=None, ge=0, le=1, description="L2 penalty of the weights.", examples=[0.0]
    )
    optimizer: Literal["adamw", "adam", "sgd"] | None = Field(
        default=None, description="`adam` adds the L2 penalty to the loss, `adamw` takes it off the weights."
    )
    schedule: Literal["one_cycle", "step", "plateau", "constant"] | None = Field(
        default=None, description="Of the learning rate. `plateau`: it falls when the training loss does not."
    )
    rate_decay: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="With schedule `step`: what the learning rate is multiplied by at epoch 100.",
        examples=[0.1],
    )
    loss: Literal["mae", "mse", "huber"] | None = Field(
        default=None, description="Loss that is minimised, of the scaled labels."
    )
    scaling: Literal["none", "standard", "tanh"] | None = Field(default=None, description="`tanh`: eq. 6 of the paper.")
    ema_decay: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Decay per step of the averaged weights that are kept; 0 = none.",
        examples=[0.999],
    )
    kept_weights: Literal["best", "last"] | None = Field(
        default=None,
        description="`best`: those of the epoch with the lowest validation error. `last`: those of the last epoch, "
        "where the training comes to the end of `max_epochs` and no epoch had a validation error lower by more than "
        "15 %; else the best ones.",
    )
    gradient_clip: float | None = Field(
        default=None, ge=0, description="Largest gradient norm; 0 = unbounded.", examples=[1.0]
    )
    split: Literal["formula", "formula_hash", "random"] | None = Field(
        default=None, description="`formula`: no formula stands in two of train, validation and test."
    )
    train_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="Share of rows that train.", examples=[0.667]
    )
    val_fraction: float | None = Field(
        default=None, gt=0, lt=1, description="Share that stops the training.", examples=[0.167]
    )
    frozen_convolutions: int | None = Field(default=None, ge=0, le=12, description="For `freeze_early`.", examples=[2])
    hidden_dim: int | None = Field(
        default=None, ge=1, le=4096, description="Width of the fully connected layer.", examples=[128]
    )
    members: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="Networks whose mean is the model, each trained without another one of so many parts of the "
        "training and validation rows; 1 is one network. From 5 on each has as many rows as one network alone, and "
        "together they err less. They take as many times as long, and make a model as many times as large, which no "
        "other can start from.",
        examples=[5],
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        default=None, description="Numbers that networks compute with."
    )
    n_folds: int | None = Field(
        default=None, ge=2, le=20, description="Of the cross-validation of a baseline.", examples=[5]
    )
    n_trials: int | None = Field(
        default=None, ge=1, le=2000, description="Models that a model search compares.", examples=[20]
    )
    max_seconds: float | None = Field(
        default=None, gt=0, description="Stop training (not the job) after so long.", examples=[900]
    )
