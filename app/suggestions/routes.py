"""The call under /v1/suggestions. The work runs in the queue's threads, beside that of predictions."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response
from starlette.concurrency import run_in_threadpool

from app.core.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    DatasetNotFound,
    ModelNotCalibrated,
    ModelNotFound,
    ModelVersionNotFound,
    NoUsableInput,
    PayloadTooLarge,
    QueueFull,
    TooManyInputs,
)
from app.predictions.directory import ModelDirectory
from app.predictions.queue import PredictionQueue
from app.predictions.service import PredictionService
from app.registry.deps import StoreDep
from app.suggestions.examples import SUGGESTION_EXAMPLES
from app.suggestions.schemas import SuggestionAnswer, SuggestionRequest
from app.suggestions.service import SuggestionService
from app.web.deps import SessionsDep, SettingsDep, resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/suggestions", tags=["suggestions"])


async def _service(
    sessions: SessionsDep,
    store: StoreDep,
    settings: SettingsDep,
    directory: Annotated[ModelDirectory, Depends(resource(ModelDirectory))],
    predictions: Annotated[PredictionService, Depends(resource(PredictionService))],
) -> SuggestionService:
    return SuggestionService(sessions, store, settings, directory, predictions)


@router.post(
    "",
    response_model=SuggestionAnswer,
    summary="What to measure next",
    responses=problem_responses(
        NoUsableInput, TooManyInputs, ModelNotCalibrated, ModelNotFound, ModelVersionNotFound, AliasNotFound,
        DatasetNotFound, PayloadTooLarge, QueueFull, ArtifactCorrupt,
    ),
)  # fmt: skip
async def create_suggestions(
    request: Annotated[SuggestionRequest, Body(openapi_examples=SUGGESTION_EXAMPLES)],
    service: Annotated[SuggestionService, Depends(_service)],
    queue: Annotated[PredictionQueue, Depends(resource(PredictionQueue))],
) -> Response:
    """Candidates without labels, ranked by what a measurement of each is expected to be worth to a model.

    Nothing is stored or trained: measure the suggestions, add their labels to your data set and fine-tune again. Those
    that the model was trained on, or cannot tell from another candidate, are set aside and named. Values and errors
    are those of `/v1/predictions`. Of models trained on more than 2,000 rows, a sample of 2,000 is what candidates are
    compared with.
    """
    if request.candidates is not None:
        candidates = service.given_candidates(request.candidates)
    else:
        candidates = await run_in_threadpool(service.stored_candidates, request.dataset_id or "")

    def work() -> bytes:
        return service.suggest(candidates, request).model_dump_json().encode()

    return Response(await queue.run(work, len(candidates)), media_type="application/json")
