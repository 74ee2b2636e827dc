"""The calls under /v1/structures: structures as they are read, before anything is predicted from them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Depends, File, Response, UploadFile

from app.cells.schemas import StructuresAnswer, StructuresRequest
from app.cells.views import structures_read
from app.core.errors import PayloadTooLarge, QueueFull, StorageFull, TooManyInputs
from app.predictions.examples import CRYSTAL_INPUT
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import FailedInput, RawInput, Reading, raw_inputs
from app.predictions.queue import PredictionQueue
from app.predictions.uploads import UploadedFile, base_name, expected_inputs, read_uploads
from app.web.deps import SettingsDep, resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/structures", tags=["structures"])

FeaturiserDep = Annotated[Featuriser, Depends(resource(Featuriser))]
QueueDep = Annotated[PredictionQueue, Depends(resource(PredictionQueue))]

_PROBLEMS = problem_responses(TooManyInputs, PayloadTooLarge, StorageFull, QueueFull)
_EXAMPLES = {"crystal": {"summary": "Rock salt as CIF", "value": {"inputs": [CRYSTAL_INPUT]}}}


@router.post("", response_model=StructuresAnswer, responses=_PROBLEMS, summary="Read structures")
async def read_inputs(
    request: Annotated[StructuresRequest, Body(openapi_examples=_EXAMPLES)],
    featuriser: FeaturiserDep,
    queue: QueueDep,
    settings: SettingsDep,
) -> Response:
    """The whole cell of each input, symmetry applied, just as the models get it, or why it cannot be used."""
    inputs = raw_inputs(request.inputs)

    def work() -> bytes:
        return _read(inputs, [], featuriser, settings.limits.max_inputs_per_request)

    return _response(await queue.run(work, len(inputs)))


@router.post("/upload", response_model=StructuresAnswer, responses=_PROBLEMS, summary="Read uploaded structures")
async def read_files(
    files: Annotated[list[UploadFile], File(description="CIF, POSCAR or structure JSON files, or zips of them.")],
    featuriser: FeaturiserDep,
    queue: QueueDep,
    settings: SettingsDep,
) -> Response:
    """The same for files; an input's id is its file name."""

    def work() -> bytes:
        uploads = [UploadedFile(base_name(file.filename), file.file) for file in files]
        inputs, failed = read_uploads(uploads, settings.limits)
        return _read(inputs, failed, featuriser, settings.limits.max_inputs_per_request)

    return _response(await queue.run(work, sum(expected_inputs(file.size or 0) for file in files)))


def _read(inputs: Sequence[RawInput], failed: Sequence[FailedInput], featuriser: Featuriser, most: int) -> bytes:
    """The answer as JSON. Raises TooManyInputs."""
    if len(inputs) > most:
        raise TooManyInputs(
            f"One request may have {most:,} inputs; this one has {len(inputs):,}. Split it.", limit=most
        )
    reading = Reading(inputs, (), only_light=False)
    entries = [*reading.results(featuriser.featurise(reading.tasks)), *failed]
    return structures_read(entries).model_dump_json().encode()


def _response(content: bytes) -> Response:
    return Response(content, media_type="application/json")
