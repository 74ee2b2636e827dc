"""Load the champions before the first user asks, so that the first answer is as quick as the others."""

from threading import Thread

from app.core.errors import ModelNotFound, XtalforgeError
from app.core.logging import get_logger
from app.predictions.examples import COMPOSITION_INPUT, CRYSTAL_INPUT
from app.predictions.front import Predictions
from app.predictions.inputs import raw_inputs
from app.predictions.schemas import PredictionInput
from app.predictions.selection import Models
from app.predictions.service import Asked

log = get_logger(__name__)


class WarmUp:
    """One prediction by every champion, in a thread; its failure is only logged."""

    def __init__(self, predictions: Predictions, directory: Models) -> None:
        self._predictions = predictions
        self._directory = directory
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="warm-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The service ends: that nobody answers any more is no failure."""
        self._is_stopping = True

    def _run(self) -> None:
        try:
            inputs = [PredictionInput.model_validate(example) for example in (CRYSTAL_INPUT, COMPOSITION_INPUT)]
            self._predictions.predict(Asked(raw_inputs(inputs)), self._directory.select(None, None))
            log.info("models loaded")
            self._predictions.prepare()
        except ModelNotFound:
            log.info("no models to load")
        except XtalforgeError as error:
            if self._is_stopping:
                return
            log.warning("models not loaded", code=error.code, detail=error.detail)
        except Exception:
            log.exception("models not loaded")
