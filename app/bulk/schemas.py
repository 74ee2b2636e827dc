"""Requests and answers of bulk predictions."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.bulk.formats import InputFormat
from app.jobs.schemas import ID_PATTERN, JobErrorRead
from app.jobs.status import JobStatus
from app.predictions.schemas import DEFAULT_LEVEL, LEVEL_DESCRIPTION, MAX_MODELS, IntervalLevel, Reference
from app.webhooks.schemas import WebhookTarget


class ModelChoice(BaseModel):
    """Which models answer; without `models` and `properties`, every champion that fits an input."""

    model_config = ConfigDict(extra="forbid")

    models: list[Reference] | None = Field(
        default=None, min_length=1, max_length=MAX_MODELS, description="`NAME` (its champion), `NAME@ALIAS` or "
        "`NAME/VERSION`.",examples=[["cgcnn-band-gap"]]
    )  # fmt: skip
    properties: list[Reference] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_MODELS,
        description="Property keys: their champions answer.",
        examples=[None],
    )
    interval_level: IntervalLevel = Field(default=DEFAULT_LEVEL, description=LEVEL_DESCRIPTION)

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if self.models is not None and self.properties is not None:
            raise ValueError("give models or properties, not both: a model predicts one property")
        return self


class BulkPredictionCreate(ModelChoice):
    """A bulk prediction of a stored data set."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"dataset_id": "ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d", "properties": ["formation_energy_per_atom"]}
            ]
        }
    )

    dataset_id: str = Field(
        pattern=ID_PATTERN,
        max_length=255,
        description="From POST /v1/datasets.",
        examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    )
    webhook: WebhookTarget | None = Field(default=None, description="Where the end of this job is announced.")


class BulkInputRead(BaseModel):
    """The file that is predicted from."""

    name: str = Field(description="As it was sent.", examples=["screening.parquet"])
    format: InputFormat = Field(description="How the file is written.")
    column: str | None = Field(description="Holds the structures or compositions; null for a zip.", examples=["cif"])
    id_column: str | None = Field(
        description="null: inputs are called by their place, from 1, or their file name.", examples=["id"]
    )
    dataset_id: str | None = Field(description="null: the file was uploaded for this job.", examples=[None])
    size_bytes: int = Field(description="Size of the file, bytes.", examples=[48213])
    sha256: str = Field(
        description="Of the file.", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    notes: list[str] = Field(
        description="What was chosen in the file, where there was a choice.",
        examples=[["column `cif` of `cif`, `formula`"]],
    )


class BulkModelRead(BaseModel):
    """A model version that answers, as it was when the job was made."""

    name: str = Field(examples=["cgcnn-formation-energy"], description="Name of the model.")
    version: int = Field(description="Counts from 1 within the model.", examples=[1])
    sha256: str = Field(
        description="Of its weights.", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    property: str = Field(description="Key of the property that it predicts.", examples=["formation_energy_per_atom"])
    unit: str = Field(description="Unit of its values.", examples=["eV/atom"])


class BulkProgress(BaseModel):
    """How far it is. Results are kept in parts of up to 1,000 inputs, and so is this counted."""

    done: int = Field(description="Inputs whose results are kept.", examples=[120000])
    failed: int = Field(description="Those among them without any value; the results say why.", examples=[31])
    total: int | None = Field(description="Inputs of the file; null until they are counted.", examples=[1000000])
    rate_per_s: float | None = Field(
        description="Inputs a second lately; null while that is not known.", examples=[480.0]
    )
    eta_s: float | None = Field(description="Seconds that are left at this rate.", examples=[1830.0])


class BulkPredictionRead(BaseModel):
    """A bulk prediction."""

    id: str = Field(examples=["job_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="Names it in every other call.")
    status: JobStatus = Field(description="succeeded, failed, cancelled and expired are final.")
    status_reason: str | None = Field(description="Why it is in this state.", examples=["Waiting for a worker."])
    error: JobErrorRead | None = Field(description="Why it failed.")
    created_at: datetime = Field(description="When it was made, UTC.", examples=["2026-11-21T16:40:12Z"])
    started_at: datetime | None = Field(description="When a worker first took it.", examples=["2026-11-21T16:40:12Z"])
    finished_at: datetime | None = Field(
        description="When it reached its final state.", examples=["2026-11-21T16:40:12Z"]
    )
    results_deleted_at: datetime | None = Field(description="null while the results are kept.", examples=[None])
    input: BulkInputRead = Field(description="What is predicted from.")
    models: list[BulkModelRead] = Field(description="Those that answer, in the order of the results.")
    attempts: int = Field(
        description="How often a worker took the job; above 1 after a worker or machine was lost.", examples=[1]
    )
    progress: BulkProgress = Field(description="How far it is.")
