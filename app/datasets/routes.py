"""The calls under /v1/datasets."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Path, Query, Response, UploadFile

from app.core.errors import (
    DatasetInUse,
    DatasetInvalid,
    DatasetNotFound,
    InvalidName,
    PayloadTooLarge,
    PropertyNotFound,
    StorageFull,
)
from app.datasets.schemas import (
    DatasetCreated,
    DatasetRead,
    DatasetSummary,
    dataset_created,
    dataset_read,
    dataset_summary,
)
from app.datasets.service import MAX_NAME_LENGTH, DatasetService
from app.properties.catalogue import Transform
from app.registry.deps import StoreDep
from app.web.deps import SessionDep, SettingsDep
from app.web.pagination import Page, PageCursor, PageLimit
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


def _service(session: SessionDep, store: StoreDep, settings: SettingsDep) -> DatasetService:
    return DatasetService(session, store, settings)


DatasetsDep = Annotated[DatasetService, Depends(_service, scope="function")]


DatasetId = Annotated[str, Path(description="`id` of the data set.", examples=["ds_0c8f4c9f8d6f4a1f9b8a6f6d0f3b1c2d"])]


@router.post(
    "",
    status_code=201,
    responses={
        **problem_responses(DatasetInvalid, InvalidName, PropertyNotFound, PayloadTooLarge, StorageFull),
        200: {"model": DatasetCreated, "description": "The same rows were uploaded before: that data set."},
    },
    summary="Upload labelled structures or compositions",
)
def create_dataset(
    datasets: DatasetsDep,
    response: Response,
    file: Annotated[
        UploadFile,
        File(
            description="CSV, JSONL or Parquet with a column `cif`, `poscar`, `structure`, `composition` or `formula`, "
            "the label in a column named by the property or `target`, optionally `id`; or a zip of CIFs with "
            "`id_prop.csv` (`id,value` in each line)."
        ),
    ],
    property_key: Annotated[
        str, Form(alias="property", description="What the labels are: a key of /v1/properties, or one of your own.")
    ],
    name: Annotated[
        str, Form(max_length=MAX_NAME_LENGTH, description="A name for people; empty = that of the file.")
    ] = "",
    unit: Annotated[str | None, Form(description="Unit of the labels, needed for a property of your own.")] = None,
    transform: Annotated[
        Transform | None, Form(description="Scale to learn a property of your own on; `log10` for values over decades.")
    ] = None,
) -> DatasetCreated:
    """Every row is checked; the answer says what was found, row by row. Usable rows are stored for good. When
    fewer than 20 are usable nothing is stored, and the problem document holds the report."""
    dataset, created, report = datasets.create(
        file.filename or "", file.file, property_key, name, unit or None, transform
    )
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"{router.prefix}/{dataset.id}"
    return dataset_created(dataset, created, report)


@router.get("", responses=problem_responses(), summary="Data sets")
def list_datasets(
    datasets: DatasetsDep,
    property_key: Annotated[str | None, Query(alias="property", description="Only those of this property.")] = None,
    limit: PageLimit = 50,
    cursor: PageCursor = None,
) -> Page[DatasetSummary]:
    """Newest first."""
    found, following = datasets.page(cursor, limit, property_key)
    return Page(items=[dataset_summary(dataset) for dataset in found], next=following)


@router.get("/{dataset_id}", responses=problem_responses(DatasetNotFound), summary="One data set")
def get_dataset(datasets: DatasetsDep, dataset_id: DatasetId) -> DatasetRead:
    """With its validation report."""
    return dataset_read(datasets.get(dataset_id))


@router.delete(
    "/{dataset_id}",
    status_code=204,
    responses=problem_responses(DatasetNotFound, DatasetInUse),
    summary="Delete a data set",
)
def delete_dataset(datasets: DatasetsDep, dataset_id: DatasetId) -> None:
    """Refused while a job or a model version needs it."""
    datasets.delete(dataset_id)
