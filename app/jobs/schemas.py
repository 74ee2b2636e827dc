"""What every kind of job answers alike."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ID_PATTERN = r"^[A-Za-z0-9_-]+$"


class JobErrorRead(BaseModel):
    """Why a job failed."""

    code: str = Field(
        description="Stable, e.g. `training_diverged`, `out_of_memory`, `worker_lost`.", examples=["training_diverged"]
    )
    detail: str = Field(description="The reason in words.", examples=["The loss became infinite in epoch 3."])


class JobEventRead(BaseModel):
    """Something that happened in a job; `seq` counts from 1 without gaps."""

    model_config = ConfigDict(from_attributes=True)

    seq: int = Field(examples=[5], description="Counts from 1 within the job, without gaps.")
    level: Literal["info", "warning", "error"] = Field(description="How much it matters.")
    kind: str = Field(
        description="`status` or `message`; `epoch` of trainings, `progress` of bulk predictions.", examples=["epoch"]
    )
    message: str = Field(description="What happened, in words.", examples=["Epoch 1 of 2: validation MAE 13.15 GPa"])
    data: dict[str, Any] = Field(
        description="The same for programs, e.g. the errors of an epoch.", examples=[{"epoch": 1, "val_mae": 13.15}]
    )
    created_at: datetime = Field(description="When it happened, UTC.", examples=["2026-11-21T16:40:12Z"])


class JobEventList(BaseModel):
    """Events in order."""

    items: list[JobEventRead] = Field(description="Oldest first.")
    next: int | None = Field(
        description="Pass it as `after` to get what follows; null = nothing more will come.", examples=[5]
    )
