"""The call under /v1/suggestions. The work runs in the queue's threads, beside that of predictions."""

from functools import partial
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
from app.predictions.deps import DirectoryDep
from app.predictions.front import Predictions, choose
from app.predictions.input_errors import INPUT_ERRORS
from app.predictions.inputs import refuse_duplicate_ids
from app.predictions.queue import PredictionQueue
from app.registry.deps import StoreDep
from app.suggestions.candidates import Candidates
from app.suggestions.examples import SUGGESTION_EXAMPLES
from app.suggestions.schemas import SuggestionAnswer, SuggestionRequest, SuggestionWish
from app.web.deps import SessionsDep, SettingsDep, resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/suggestions", tags=["suggestions"])


async def _candidates(sessions: SessionsDep, store: StoreDep, settings: SettingsDep) -> Candidates:
    return Candidates(sessions, store, settings)


@router.post(
    "",
    response_model=SuggestionAnswer,
    summary="What to measure next",
    responses=problem_responses(
        *INPUT_ERRORS, NoUsableInput, TooManyInputs, ModelNotCalibrated, ModelNotFound, ModelVersionNotFound,
        AliasNotFound, DatasetNotFound, PayloadTooLarge, QueueFull, ArtifactCorrupt,
    ),
)  # fmt: skip
async def create_suggestions(
    request: Annotated[SuggestionRequest, Body(openapi_examples=SUGGESTION_EXAMPLES)],
    known: Annotated[Candidates, Depends(_candidates)],
    predictions: Annotated[Predictions, Depends(resource(Predictions))],
    directory: DirectoryDep,
    queue: Annotated[PredictionQueue, Depends(resource(PredictionQueue))],
) -> Response:
    """Candidates without labels, ranked by what a measurement of each is expected to be worth to a model.

    Nothing is stored or trained: measure the suggestions, add their labels to your data set and fine-tune again. Those
    that the model was trained on or measured by, or cannot tell from another candidate, are set aside and named. Values
    and errors are those of `/v1/predictions`. Of models trained on more than 2,000 rows, a sample of 2,000 is what
    candidates are compared with.
    """
    if request.candidates is not None:
        candidates = known.given(request.candidates)
    else:
        candidates = await run_in_threadpool(known.stored, request.dataset_id or "")
    refuse_duplicate_ids(candidate.id for candidate in candidates)
    (model,) = await choose(directory, [request.model], None)
    wish = request.model_dump(mode="json", include=set(SuggestionWish.model_fields))
    work = partial(predictions.suggest, candidates, wish, model)
    return Response(await queue.run(work, len(candidates)), media_type="application/json")
