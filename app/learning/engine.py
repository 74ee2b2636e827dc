"""Loaded models of one process: least recently used go, each is loaded once however many ask for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch

from app.core.errors import XtalforgeError
from app.learning.graphs.cache import GraphCache
from app.learning.predictor import Predictor
from app.learning.samples import ModelInput
from app.registry.manifest import Manifest


class InferenceEngine:
    """Predictions by any number of models, at most `max_models` of them in memory.

    Models are keyed by their version, which never changes; an alias that moves simply asks for another key.
    """

    def __init__(self, max_models: int = 8, device: str = "cpu", n_threads: int | None = None) -> None:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        self._device = device
        self._max_models = max_models
        self._predictors: OrderedDict[str, Predictor] = OrderedDict()
        self._lock = threading.Lock()
        self._graphs = GraphCache()
        self._loading: dict[str, threading.Lock] = {}

    def predict(
        self, key: str, load: Callable[[], tuple[Manifest, bytes]], items: Sequence[ModelInput]
    ) -> list[float | XtalforgeError]:
        """One value or error per item. `load` is called only when the model is not in memory.

        Raises what `load` raises, and ArtifactCorrupt.
        """
        return self._get(key, load).predict(items, self._graphs.build)

    def _get(self, key: str, load: Callable[[], tuple[Manifest, bytes]]) -> Predictor:
        with self._lock:
            found = self._predictors.get(key)
            if found is not None:
                self._predictors.move_to_end(key)
                return found
            gate = self._loading.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                found = self._predictors.get(key)
            if found is not None:
                return found
            try:
                manifest, weights = load()
                predictor = Predictor.from_bytes(manifest, weights, self._device)
            except BaseException:
                with self._lock:
                    self._loading.pop(key, None)
                raise
            with self._lock:
                self._predictors[key] = predictor
                self._loading.pop(key, None)
                while len(self._predictors) > self._max_models:
                    self._predictors.popitem(last=False)
            return predictor
