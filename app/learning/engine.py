"""Loaded models of one process: least recently used go, each is loaded once however many ask for it."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from app.core.errors import XtalforgeError
from app.learning.coalescing import Coalescer
from app.learning.device import give_back_freed_memory
from app.learning.featurising import FeaturisedCrystal
from app.learning.graphs.cache import GraphCache
from app.learning.graphs.crystal_graph import CrystalGraph
from app.learning.graphs.settings import GraphSettings
from app.learning.predictor import Embedded, Estimate, Predictor
from app.learning.samples import GraphBuilder, ModelInput
from app.registry.artifact import Artifact
from app.structures.crystal import Crystal

EngineInput = ModelInput | FeaturisedCrystal
Value = Estimate | XtalforgeError

_BATCH_COST = {"cpu": 20_000, "cuda": 500_000}
"""Edges of one micro-batch."""
_COMPOSITION_COST = 64
_EDGES_PER_ATOM = 12

log = logging.getLogger(__name__)


class InferenceEngine:
    """Predictions by any number of models, at most `max_models` of them in memory. Thread-safe.

    Models are keyed by their version, which never changes; an alias that moves simply asks for another key. What
    several callers ask of one model at the same time is computed in common micro-batches.
    """

    def __init__(self, max_models: int = 8, device: str = "cpu", n_threads: int | None = None) -> None:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        self._device = device
        self._max_models = max_models
        self._models: OrderedDict[str, _Served] = OrderedDict()
        self._lock = threading.Lock()
        self._graphs = GraphCache()
        self._loading: dict[str, threading.Lock] = {}

    def predict(self, key: str, load: Callable[[], Artifact], items: Sequence[EngineInput]) -> list[Value]:
        """One estimate or error per item. `load` is called only when the model is not in memory.

        Raises what `load` raises, and ArtifactCorrupt.
        """
        return self._get(key, load).answer(items)

    def embed(
        self, key: str, load: Callable[[], Artifact], items: Sequence[EngineInput], *, contributions: bool
    ) -> list[Embedded | XtalforgeError]:
        """Features or error per item, with `contributions` also what each atom adds.

        Raises what `load` raises, ArtifactCorrupt, and NoContributions where the model cannot tell them.
        """
        predictor = self._get(key, load).predictor
        crystals, build = self._opened(items)
        vectors, errors = predictor.embed(crystals, build)
        rows = iter(vectors.tolist())
        atoms = predictor.contributions(crystals, build) if contributions else [None] * len(crystals)
        found: list[Embedded | XtalforgeError] = []
        for error, added in zip(errors, atoms, strict=True):
            if error is not None:
                found.append(error)
                continue
            vector = next(rows)
            found.append(added if isinstance(added, XtalforgeError) else Embedded(vector, added))
        return found

    @property
    def n_loaded(self) -> int:
        """Models in memory."""
        return len(self._models)

    def _get(self, key: str, load: Callable[[], Artifact]) -> "_Served":
        with self._lock:
            found = self._models.get(key)
            if found is not None:
                self._models.move_to_end(key)
                return found
            gate = self._loading.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                found = self._models.get(key)
            if found is not None:
                return found
            try:
                model = self._served(Predictor.from_bytes(*load(), device=self._device))
            except BaseException:
                with self._lock:
                    self._loading.pop(key, None)
                raise
            give_back_freed_memory()
            with self._lock:
                self._models[key] = model
                self._loading.pop(key, None)
                while len(self._models) > self._max_models:
                    self._models.popitem(last=False)
            return model

    def _served(self, predictor: Predictor) -> "_Served":
        max_cost = _BATCH_COST[predictor.device.type]
        return _Served(predictor, Coalescer(lambda items: self._run(predictor, items), _cost_of, max_cost))

    def _run(self, predictor: Predictor, items: Sequence[EngineInput]) -> list[Value]:
        """Halves a micro-batch that fails, down to the item that makes it fail."""
        crystals, build = self._opened(items)
        try:
            return predictor.estimate(crystals, build)
        except Exception:
            if len(items) == 1:
                log.exception("unexpected error in a prediction of %s", predictor.manifest.name)
                return [XtalforgeError("Something went wrong inside the service while this value was computed.")]
        half = len(items) // 2
        return self._run(predictor, items[:half]) + self._run(predictor, items[half:])

    def _opened(self, items: Sequence[EngineInput]) -> tuple[list[ModelInput], GraphBuilder]:
        """Crystals and compositions, and who makes graphs of them: those that are there already are taken."""
        crystals = [item.crystal if isinstance(item, FeaturisedCrystal) else item for item in items]
        graphs = {id(item.crystal): item.graphs for item in items if isinstance(item, FeaturisedCrystal)}

        def build(crystal: Crystal, settings: GraphSettings) -> CrystalGraph:
            made = graphs.get(id(crystal), {}).get(settings)
            if made is None:
                return self._graphs.build(crystal, settings)
            if isinstance(made, XtalforgeError):
                # Errors are shared between requests: one must not collect the traces of all.
                raise made.with_traceback(None)
            return made

        return crystals, build


class _Served(NamedTuple):
    """A loaded model, and the way to its answers."""

    predictor: Predictor
    answer: Coalescer[EngineInput, Value]


def _cost_of(item: EngineInput) -> int:
    if isinstance(item, FeaturisedCrystal):
        return max((g.n_edges for g in item.graphs.values() if isinstance(g, CrystalGraph)), default=0)
    return _EDGES_PER_ATOM * item.n_sites if isinstance(item, Crystal) else _COMPOSITION_COST
