"""Load the champions before the first user asks, so that the first answer is as quick as the others."""

from threading import Thread

from app.core.errors import ModelNotFound, XtalforgeError
from app.core.logging import get_logger
from app.predictions.examples import COMPOSITION_INPUT, CRYSTAL_INPUT
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import raw_inputs
from app.predictions.schemas import PredictionInput
from app.predictions.service import PredictionService

log = get_logger(__name__)


class WarmUp:
    """One prediction by every champion, in a thread; its failure is only logged."""

    def __init__(self, service: PredictionService, featuriser: Featuriser) -> None:
        self._service = service
        self._featuriser = featuriser
        self._thread = Thread(target=self._run, name="warm-up", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for it: a thread inside native code must not be torn down with the interpreter."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            inputs = [PredictionInput.model_validate(example) for example in (CRYSTAL_INPUT, COMPOSITION_INPUT)]
            self._service.predict(raw_inputs(inputs))
            log.info("models loaded")
            self._featuriser.prepare()
        except ModelNotFound:
            log.info("no models to load")
        except XtalforgeError as error:
            log.warning("models not loaded", code=error.code, detail=error.detail)
        except Exception:
            log.exception("models not loaded")
