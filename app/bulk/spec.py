"""What a bulk prediction is to do, as it is kept in SQL: every reference pinned."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from app.bulk.filtering import ElementFilter
from app.bulk.inputs import InputFile
from app.predictions.schemas import DEFAULT_LEVEL
from app.predictions.selection import SelectedModel

DELETED_AT = "results_deleted_at"
"""In the result of a job: when its results were deleted."""


class ModelUse(BaseModel):
    """A model version that answers; `is_named` when it was asked for by name."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: int
    sha256: str
    property: str
    unit: str
    is_named: bool

    @classmethod
    def of(cls, model: SelectedModel) -> "ModelUse":
        version, record = model.version, model.manifest.property
        return cls(
            id=version.id, name=version.model_name, version=version.version, sha256=version.weights_sha256,
            property=record.key, unit=record.unit, is_named=model.is_named,
        )  # fmt: skip


class BulkSpec(BaseModel):
    """`input_path` and `parts_prefix` are places in the artifact store; a data set's file is not the job's own.

    The bounds on chunks are part of it, since an attempt goes on from the chunks of the one before.
    """

    model_config = ConfigDict(frozen=True)

    input_name: str
    input_path: str
    input_sha256: str
    input_bytes: int
    input: InputFile
    dataset_id: str | None
    parts_prefix: str
    models: tuple[ModelUse, ...]
    chunk_rows: int
    chunk_characters: int
    interval_level: float = DEFAULT_LEVEL
    elements: ElementFilter | None = None


def predictions_of(document: dict[str, Any]) -> BulkSpec:
    """What a job is to predict, by its spec: the whole of it, or for kinds that do more, its `predictions`."""
    return BulkSpec.model_validate(document.get("predictions", document))
