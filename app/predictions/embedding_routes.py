"""Embeddings over HTTP."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response

from app.core.errors import (
    AliasNotFound,
    ArtifactCorrupt,
    ModelNotFound,
    ModelVersionNotFound,
    NoUsableInput,
    PayloadTooLarge,
    QueueFull,
    TooManyInputs,
)
from app.predictions.deps import DirectoryDep
from app.predictions.embedding_schemas import EmbeddingAnswer, EmbeddingRequest
from app.predictions.examples import CRYSTAL_INPUT
from app.predictions.front import Predictions, choose
from app.predictions.input_errors import INPUT_ERRORS
from app.predictions.inputs import raw_inputs
from app.predictions.queue import PredictionQueue
from app.web.deps import resource
from app.web.problems import problem_responses

router = APIRouter(prefix="/v1/embeddings", tags=["predictions"])

_EXAMPLES = {
    "crystal": {
        "summary": "A crystal, as the model of formation energies sees it",
        "value": {"inputs": [CRYSTAL_INPUT], "model": "cgcnn-formation-energy"},
    }
}


@router.post(
    "",
    response_model=EmbeddingAnswer,
    responses=problem_responses(
        *INPUT_ERRORS, NoUsableInput, TooManyInputs, ModelNotFound, ModelVersionNotFound, AliasNotFound,
        PayloadTooLarge, QueueFull, ArtifactCorrupt,
    ),
    summary="Feature vectors that a model has learned",
)  # fmt: skip
async def embed(
    request: Annotated[EmbeddingRequest, Body(openapi_examples=_EXAMPLES)],
    predictions: Annotated[Predictions, Depends(resource(Predictions))],
    directory: DirectoryDep,
    queue: Annotated[PredictionQueue, Depends(resource(PredictionQueue))],
) -> Response:
    """For models of your own, and for search by similarity. Vectors of different models, or versions that are not of
    the same weights, do not compare. 200 when at least one vector could be given; 422 when nothing could be used."""
    inputs = raw_inputs(request.inputs)
    (model,) = await choose(directory, [request.model], None)
    work = partial(predictions.embed, inputs, model, contributions=request.contributions)
    return Response(await queue.run(work, len(inputs)), media_type="application/json")
