"""Predictions by the models of this installation, in this process."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from app.cli.inputs import read_inputs
from app.cli.installation import open_installation
from app.core.settings import Settings
from app.learning.engine import InferenceEngine
from app.predictions.answers import Wishes
from app.predictions.directory import ModelDirectory
from app.predictions.embedding_schemas import EmbeddingAnswer
from app.predictions.embedding_service import EmbeddingService
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import FailedInput, RawInput
from app.predictions.schemas import PredictionAnswer
from app.predictions.service import PredictionService

CHUNK = 200
_NO_LIMIT = 10_000_000


def predict_locally(
    settings: Settings,
    paths: Sequence[Path],
    compositions: Sequence[str],
    models: Sequence[str] | None,
    properties: Sequence[str] | None,
    wishes: Wishes,
) -> PredictionAnswer:
    """The answer for all files and formulas, however many. Raises what `PredictionService` raises."""
    limits = settings.limits.model_copy(update={"max_inputs_per_request": _NO_LIMIT})
    inputs, failed = read_inputs(paths, compositions, limits)
    engine = InferenceEngine(settings.inference.max_models, settings.device, settings.inference.threads)
    with open_installation(settings) as local:
        service = PredictionService(ModelDirectory(local.sessions, local.store), engine, limits, Featuriser())
        return _predict_in_chunks(service, inputs, failed, models, properties, wishes)


def embed_locally(
    settings: Settings, paths: Sequence[Path], compositions: Sequence[str], model: str, *, contributions: bool
) -> EmbeddingAnswer:
    """The feature vectors of all files and formulas, however many. Raises what `EmbeddingService` raises."""
    limits = settings.limits.model_copy(update={"max_inputs_per_request": _NO_LIMIT})
    inputs, failed = read_inputs(paths, compositions, limits)
    engine = InferenceEngine(settings.inference.max_models, settings.device, settings.inference.threads)
    with open_installation(settings) as local:
        service = EmbeddingService(ModelDirectory(local.sessions, local.store), engine, limits, Featuriser())
        return service.embed(inputs, model, failed, contributions=contributions)


def _predict_in_chunks(
    service: PredictionService,
    inputs: Sequence[RawInput],
    failed: Sequence[FailedInput],
    models: Sequence[str] | None,
    properties: Sequence[str] | None,
    wishes: Wishes,
) -> PredictionAnswer:
    whole = service.predict_leniently([], models, properties, failed)
    with tqdm(total=len(inputs), desc="predicting", unit="input", leave=False, disable=len(inputs) <= CHUNK) as bar:
        for start in range(0, len(inputs), CHUNK):
            part = service.predict_leniently(inputs[start : start + CHUNK], models, properties, wishes=wishes)
            whole.predictions += part.predictions
            whole.errors += part.errors
            bar.update(min(CHUNK, len(inputs) - start))
    return whole
