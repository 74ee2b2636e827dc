"""Predictions over HTTP. Nothing here blocks the event loop: the work is done by the compute process."""

from contextlib import suppress
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, File, Query, Response, UploadFile

from app.core.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    InvalidRequest,
    ModelNotFound,
    ModelVersionNotFound,
    NoUsableInput,
    PayloadTooLarge,
    PropertyNotFound,
    QueueFull,
    StorageFull,
    TooManyInputs,
)
from app.predictions.answers import Wishes
from app.predictions.deps import DirectoryDep
from app.predictions.examples import REQUEST_EXAMPLES
from app.predictions.front import Predictions, choose
from app.predictions.input_errors import INPUT_ERRORS
from app.predictions.inputs import RawInput, Unreadable, raw_inputs
from app.predictions.queue import PredictionQueue
from app.predictions.schemas import (
    DEFAULT_LEVEL,
    LEVEL_DESCRIPTION,
    MAX_MODELS,
    NEIGHBOURS_DESCRIPTION,
    IntervalLevel,
    NeighbourCount,
    PredictionAnswer,
    PredictionRequest,
    Reference,
)
from app.predictions.service import Asked, NotLight
from app.predictions.tasks import LANE_CHARACTERS
from app.predictions.uploads import UploadedFile, base_name, expected_inputs, read_uploads
from app.web.deps import SettingsDep, resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])
upload_router = APIRouter(prefix="/v1/predictions", tags=["predictions"])

PredictionsDep = Annotated[Predictions, Depends(resource(Predictions))]
QueueDep = Annotated[PredictionQueue, Depends(resource(PredictionQueue))]

MAX_SMALL = 3
"""Inputs of a request that is computed together with others."""

_PROBLEMS = problem_responses(
    *INPUT_ERRORS,
    NoUsableInput,
    TooManyInputs,
    ModelNotFound,
    ModelVersionNotFound,
    AliasNotFound,
    PropertyNotFound,
    PayloadTooLarge,
    StorageFull,
    QueueFull,
    ArtifactCorrupt,
)

_Models = Annotated[
    list[Reference] | None,
    Query(min_length=1, max_length=MAX_MODELS, description="`NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`."),
]
_Properties = Annotated[
    list[Reference] | None,
    Query(min_length=1, max_length=MAX_MODELS, description="Property keys: the champions of these answer."),
]


@router.post(
    "", response_model=PredictionAnswer, responses=_PROBLEMS, summary="Predict from structures and compositions"
)
async def predict(
    request: Annotated[PredictionRequest, Body(openapi_examples=REQUEST_EXAMPLES)],
    predictions: PredictionsDep,
    directory: DirectoryDep,
    queue: QueueDep,
) -> Response:
    """Every value has a unit and names the exact model that gave it.

    200 when at least one value could be given; what failed is in `errors`. 422 when nothing could be used.
    """

    asked = Asked(raw_inputs(request.inputs), wishes=Wishes(request.interval_level, request.neighbours))
    models = await choose(directory, request.models, request.properties)
    if is_small(request):
        with suppress(NotLight):
            return _response(await queue.wait_for(partial(predictions.small, asked, models), len(request.inputs)))
    return _response(await queue.run(partial(predictions.predict, asked, models), len(request.inputs)))


@upload_router.post(
    "/upload", response_model=PredictionAnswer, responses=_PROBLEMS, summary="Predict from uploaded files"
)
async def predict_upload(
    files: Annotated[list[UploadFile], File(description="CIF, POSCAR or structure JSON files, or zips of them.")],
    predictions: PredictionsDep,
    directory: DirectoryDep,
    queue: QueueDep,
    settings: SettingsDep,
    models: _Models = None,
    properties: _Properties = None,
    interval_level: Annotated[IntervalLevel, Query(description=LEVEL_DESCRIPTION)] = DEFAULT_LEVEL,
    neighbours: Annotated[NeighbourCount, Query(description=NEIGHBOURS_DESCRIPTION)] = 0,
) -> Response:
    """The same as for JSON; an input's id is its file name. `models` and `properties` may be repeated."""
    if models is not None and properties is not None:
        raise InvalidRequest("Give models or properties, not both: a model predicts one property.")

    chosen = await choose(directory, models, properties)

    def work() -> bytes:
        uploads = [UploadedFile(base_name(file.filename), file.file) for file in files]
        inputs, failed = read_uploads(uploads, settings.limits)
        inputs += [RawInput(entry.id, Unreadable(entry.error)) for entry in failed]
        return predictions.predict(Asked(inputs, wishes=Wishes(interval_level, neighbours)), chosen)

    return _response(await queue.run(work, sum(expected_inputs(file.size or 0) for file in files)))


def is_small(request: PredictionRequest) -> bool:
    """Whether it is likely answered in passing, together with others."""
    return len(request.inputs) <= MAX_SMALL and all(
        given.structure is None and len(given.cif or given.poscar or "") <= LANE_CHARACTERS for given in request.inputs
    )


def _response(content: bytes) -> Response:
    return Response(content, media_type="application/json")
