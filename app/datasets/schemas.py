"""What data sets say over HTTP."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.datasets.models import Dataset
from app.datasets.report import ValidationReport
from app.registry.manifest import InputKind, PropertyRecord


class DatasetSummary(BaseModel):
    """A stored data set."""

    id: str = Field(examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"], description="Names it in every other call.")
    name: str = Field(examples=["bulk moduli of oxides"], description="Name for people.")
    property: PropertyRecord = Field(description="What the labels are, with unit and definition.")
    input_kind: InputKind = Field(description="What each row holds.")
    n_rows: int = Field(description="Usable rows, the ones that are stored.", examples=[412])
    sha256: str = Field(
        description="Hash of the rows: the same rows uploaded again are the same data set.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size_bytes: int = Field(description="Size as stored.", examples=[95_000])
    created_at: datetime = Field(description="When it was made, UTC.", examples=["2026-11-21T16:40:12Z"])


class DatasetRead(DatasetSummary):
    """A stored data set with its validation report."""

    report: ValidationReport = Field(description="What was found in the file.")


class DatasetCreated(DatasetRead):
    """The answer to an upload; the report is of the file that was sent now."""

    created: bool = Field(
        description="false = the same rows were uploaded before; this is that data set.", examples=[True]
    )


def dataset_summary(dataset: Dataset) -> DatasetSummary:
    return DatasetSummary.model_validate(_fields(dataset))


def dataset_read(dataset: Dataset) -> DatasetRead:
    return DatasetRead.model_validate({**_fields(dataset), "report": dataset.report})


def dataset_created(dataset: Dataset, created: bool, report: ValidationReport) -> DatasetCreated:
    return DatasetCreated.model_validate({**_fields(dataset), "report": report, "created": created})


def _fields(dataset: Dataset) -> dict[str, object]:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "property": dataset.property_record,
        "input_kind": dataset.input_kind,
        "n_rows": dataset.n_rows,
        "sha256": dataset.content_sha256,
        "size_bytes": dataset.size_bytes,
        "created_at": dataset.created_at,
    }
