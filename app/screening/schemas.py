"""Requests and answers of screenings."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from app.bulk.schemas import BulkInputRead, BulkModelRead, BulkProgress
from app.jobs.schemas import ID_PATTERN, JobErrorRead
from app.jobs.status import JobStatus
from app.predictions.schemas import PredictionInput, refuse_endless
from app.screening.generator import Generator
from app.screening.wish import ScreeningWish
from app.webhooks.schemas import WebhookTarget


class ScreeningCreate(ScreeningWish):
    """A screening of a stored data set, of candidates in the request, or of candidates that are made."""

    dataset_id: str | None = Field(
        default=None,
        pattern=ID_PATTERN,
        max_length=255,
        description="A stored data set; its labels are not looked at.",
        examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"],
    )
    candidates: Annotated[tuple[PredictionInput, ...] | None, BeforeValidator(refuse_endless)] = Field(
        default=None, min_length=1, description="Crystals or compositions; larger sets come as a file."
    )
    generator: Generator | None = Field(default=None, description="How candidates are made.")
    webhook: WebhookTarget | None = Field(default=None, description="Where the end of this job is announced.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [each for each in (self.dataset_id, self.candidates, self.generator) if each is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `dataset_id`, `candidates` and `generator`, or send a file")
        return self

    def wish(self) -> ScreeningWish:
        return ScreeningWish(**{name: getattr(self, name) for name in ScreeningWish.model_fields})


class ScreeningCounts(BaseModel):
    """What became of the candidates; the counts after `candidates` add up to it."""

    candidates: int = Field(description="Candidates that were looked at.", examples=[4600])
    selected: int = Field(description="Those that the screening names.", examples=[100])
    not_selected: int = Field(
        description="Meet all constraints, but others are better, or alike, where `diverse`.", examples=[812]
    )
    failed_constraints: int = Field(description="Too unlikely to meet the constraints.", examples=[3120])
    out_of_domain: int = Field(
        description="Unlike the training data of a model; 0 where `in_domain` is false.", examples=[310]
    )
    filtered: int = Field(description="Left out by `elements`.", examples=[240])
    errors: int = Field(description="Without a value for each property; the results say why.", examples=[18])


class ScreeningRead(BaseModel):
    """A screening."""

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
    input: BulkInputRead | None = Field(description="The file; null: candidates were made by `generator`.")
    generator: Generator | None = Field(description="How candidates are made; null: they were given.")
    wish: ScreeningWish = Field(description="What is looked for.")
    models: list[BulkModelRead] = Field(description="Those that answer, one for each property.")
    attempts: int = Field(
        description="How often a worker took the job; above 1 after a worker or machine was lost.", examples=[1]
    )
    progress: BulkProgress = Field(description="How far it is.")
    counts: ScreeningCounts | None = Field(description="null before it has succeeded.")


class ResultScope(StrEnum):
    SELECTED = "selected"
    ALL = "all"
