"""What predictions need of the numerical code, said without importing it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Protocol

from app.core.errors import XtalforgeError
from app.learning.featurising import FeaturisedCrystal
from app.registry.manifest import Manifest
from app.structures.crystal import Crystal
from app.structures.formula import Composition

ModelItem = Crystal | Composition
EngineInput = Crystal | Composition | FeaturisedCrystal
LoadModel = Callable[[], tuple[Manifest, bytes]]


class InferenceEngine(Protocol):
    """Runs models; thread-safe, keeps the loaded ones by `key`."""

    def predict(self, key: str, load: LoadModel, items: Sequence[EngineInput]) -> list[float | XtalforgeError]:
        """One value (in the property's unit) or error per item; `load` is called when `key` is not held."""
        ...


class BackgroundEngine:
    """An engine that is made in a thread, so that the service starts before the numerical libraries are imported.

    Predictions that come earlier wait; an engine that cannot be made fails them with its own exception.
    """

    def __init__(self, make: Callable[[], InferenceEngine]) -> None:
        self._make = make
        self._made: Future[InferenceEngine] = Future()

    def start(self) -> None:
        """Begin to make it; once."""
        Thread(target=self._run, name="inference-import", daemon=True).start()

    def _run(self) -> None:
        try:
            self._made.set_result(self._make())
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for a prediction
            self._made.set_exception(error)

    def predict(self, key: str, load: LoadModel, items: Sequence[EngineInput]) -> list[float | XtalforgeError]:
        return self._made.result().predict(key, load, items)
