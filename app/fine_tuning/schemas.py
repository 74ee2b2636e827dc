"""Bodies of the fine-tuning calls."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.jobs.schemas import ID_PATTERN, JobErrorRead
from app.jobs.status import JobStatus
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.registry.manifest import Architecture, InputKind, Metrics
from app.webhooks.schemas import WebhookTarget

AUTO = "auto"
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"


def _auto_is_empty(value: Any) -> Any:
    return {} if value == AUTO else value


def _model_name(name: str) -> str:
    if not re.fullmatch(MODEL_NAME_PATTERN, name):
        raise ValueError(
            f"{name[:64]!r} is not a name for a model: small letters, digits, '.', '_' and '-', beginning with a "
            "letter or digit, at most 64 characters."
        )
    return name


class FineTuningJobCreate(BaseModel):
    """What to train. Everything but the data set and the name may be left to the service."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "dataset_id": "ds_4f0c2a7be3d94c0f8a51d2b6c7e8f901", "model_name": "my-bulk-modulus",
                    "base_model": "auto", "method": "fine_tune", "hyperparameters": {"max_epochs": 100}, "seed": 0,
                }
            ]
        },
    )  # fmt: skip

    dataset_id: str = Field(
        pattern=ID_PATTERN,
        max_length=255,
        description="From POST /v1/datasets.",
        examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    )
    model_name: Annotated[str, AfterValidator(_model_name)] = Field(
        json_schema_extra={"pattern": MODEL_NAME_PATTERN},
        description="Name of the model to make; a name of your own that exists gets a further version. Lower-case "
        "letters, digits, '.', '_', '-', at most 64.",
        examples=["my-bulk-modulus"],
    )
    base_model: str = Field(
        default=AUTO,
        max_length=255,
        description="The model to start from: NAME (its champion), NAME@ALIAS or NAME/VERSION. `auto`: the shipped "
        "model of the method's family that learned what transfers best to the property (of gaps PBE gaps; of "
        "moduli, phonons and dielectric constants bond lengths and hidden elements), else formation energy; of method "
        "`auto` all that read such data.",
    )
    method: Method = Field(default=Method.FINE_TUNE, description="See GET /v1/fine-tuning/methods.")
    hyperparameters: Annotated[
        Hyperparameters,
        BeforeValidator(_auto_is_empty, json_schema_input_type=Hyperparameters | Literal["auto"]),
    ] = Field(default_factory=Hyperparameters, description="What is left out, or all with `auto`, is chosen.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Same seed, same split, same starting weights.")
    webhook: WebhookTarget | None = Field(
        default=None, description="Where the end of this job is announced, beside the webhooks of POST /v1/webhooks."
    )


class BaseModelRead(BaseModel):
    """The pinned model version that a job starts from."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    version: int = Field(description="Counts from 1 within the model.", examples=[1])
    sha256: str = Field(
        description="Of its weights.", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )


class JobProgress(BaseModel):
    """The last finished epoch."""

    epoch: int = Field(description="Counts from 1.", examples=[12])
    max_epochs: int = Field(description="Most epochs; training may stop earlier.", examples=[100])
    val_mae: float = Field(description="Mean absolute error on the validation rows, in `unit`.", examples=[9.6])
    best_val_mae: float = Field(description="The best epoch's, in `unit`.", examples=[9.1])
    unit: str = Field(description="Unit of the errors.", examples=["GPa"])
    eta_s: float = Field(
        description="Seconds to the last epoch at the present pace; early stopping may end it sooner.", examples=[75.0]
    )
    stage: str = Field(default="", description="Which of several trainings, whose epochs are counted on.")


class JobSearch(BaseModel):
    """Where the search for a baseline's hyperparameters stood when it was last told; about once a second."""

    done: int = Field(description="Fits that are done.", examples=[40])
    total: int = Field(description="Fits or models in all; a search may end sooner.", examples=[200])
    text: str = Field(description="What is fitted.", examples=["svr C 10, gamma 0.0023, epsilon 0.02"])


class JobResult(BaseModel):
    """The model version that the job made."""

    model: str = Field(examples=["my-bulk-modulus"], description="Name of the model.")
    version: int = Field(description="Predict with it as `MODEL/VERSION`.", examples=[1])
    metrics: Metrics = Field(description="Errors on train, validation and held-out test rows, in the property's unit.")


class FineTuningJobRead(BaseModel):
    """A job with every choice made for it."""

    model_config = ConfigDict(protected_namespaces=())

    id: str = Field(examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="Names it in every other call.")
    status: JobStatus = Field(description="succeeded, failed, cancelled and expired are final.")
    status_reason: str | None = Field(description="Why it is in this state.", examples=["Waiting for a worker."])
    error: JobErrorRead | None = Field(description="Why it failed.")
    created_at: datetime = Field(description="When it was made, UTC.", examples=["2026-11-21T16:40:12Z"])
    started_at: datetime | None = Field(description="When a worker first took it.", examples=["2026-11-21T16:40:12Z"])
    finished_at: datetime | None = Field(
        description="When it reached its final state.", examples=["2026-11-21T16:40:12Z"]
    )
    dataset_id: str = Field(examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="The data set it trains on.")
    model_name: str = Field(description="The model that gets a version.", examples=["my-bulk-modulus"])
    property: str = Field(description="Key of the property that the model predicts.", examples=["k_vrh"])
    unit: str = Field(description="Unit of the labels, the errors and the predictions.", examples=["GPa"])
    base_model: BaseModelRead | None = Field(description="null when the method starts from random weights.")
    sources: list[BaseModelRead] = Field(default=[], description="Pretrained models that method `auto` may use.")
    method: Method = Field(description="How it is trained.")
    architecture: Architecture = Field(
        description="Kind of network or regressor; of each network where `members` is above 1."
    )
    hyperparameters: Hyperparameters = Field(
        description="As used: given, or chosen where left out; null where the method has no use for it."
    )
    seed: int = Field(description="Of the split and the starting weights.", examples=[0])
    attempts: int = Field(
        description="How often a worker took the job; above 1 after a worker or machine was lost.", examples=[1]
    )
    progress: JobProgress | None = Field(description="null before the first epoch has ended, and for baselines.")
    search: JobSearch | None = Field(description="null unless it is a baseline whose fits have begun.")
    result: JobResult | None = Field(description="null unless it succeeded.")


class MethodRead(BaseModel):
    """One way to train on offer."""

    name: Method = Field(description="Give it as `method`.")
    family: Architecture = Field(description="Architecture of the model it makes.")
    input_kind: InputKind = Field(
        description="What the model reads. One that reads compositions answers for structures too when it is named."
    )
    data_kinds: list[InputKind] = Field(description="What a row of the data set may hold.")
    needs_base_model: bool = Field(description="Whether it starts from the weights of another model.", examples=[True])
    base_family: Architecture | None = Field(description="Architecture of that model.")
    hyperparameters: list[str] = Field(
        description="Those it uses; others are refused.", examples=[["max_epochs", "learning_rate"]]
    )
    source: str = Field(description="Paper and section it is from.", examples=["Lee & Asahi 2021, 2.2"])
    description: str = Field(
        description="What it does.", examples=["Start from the base model's weights and train them all."]
    )


class MethodList(BaseModel):
    """Every method, once for each architecture it makes."""

    items: list[MethodRead] = Field(description="Networks first, then baselines.")
