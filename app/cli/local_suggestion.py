"""Suggestions by a model of this installation, in this process."""

from pathlib import Path

from app.bulk.inputs import look_at, read_rows
from app.cli.installation import open_installation
from app.core.settings import Settings
from app.learning.engine import InferenceEngine
from app.predictions.directory import ModelDirectory
from app.predictions.featuriser import Featuriser
from app.predictions.service import PredictionService
from app.suggestions.candidates import candidate_of
from app.suggestions.schemas import SuggestionAnswer, SuggestionWish
from app.suggestions.service import SuggestionService

_MOST_ROWS = 10_000_000


def suggest_locally(settings: Settings, path: Path, wish: SuggestionWish) -> SuggestionAnswer:
    """From all rows of a file, however many. Raises what `look_at` and `SuggestionService.suggest` raise."""
    with path.open("rb") as file:
        found = look_at(file, settings.limits, _MOST_ROWS)
    candidates = [candidate_of(row) for row in read_rows(path, found, settings.limits)]
    engine = InferenceEngine(settings.inference.max_models, settings.device, settings.inference.threads)
    with open_installation(settings) as local:
        directory = ModelDirectory(local.sessions, local.store)
        predictions = PredictionService(directory, engine, settings.limits, Featuriser())
        service = SuggestionService(directory, predictions, settings.limits)
        return service.suggest(candidates, wish)
