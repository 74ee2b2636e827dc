"""The compute process: texts in, answers out. It holds the models, reads structures and computes; no database, no HTTP.

Started as `python -m app.compute PARENT CONFIGURATION LANE FILES LARGE...`, the last ones ends of socket pairs:
LANE for small requests, FILES to ask for a model's files, the others for one large request at a time each.
"""

import gc
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.core.logging import configure_logging, get_logger
from app.core.metrics import Collected, collect
from app.core.processes import die_with_parent
from app.core.settings import Settings
from app.predictions.answers import as_json
from app.predictions.compute_messages import (
    DONE,
    REFUSED,
    LaneRequestReader,
    pack_json,
    pack_large_answer,
    unpack_error,
    unpack_inputs,
    unpack_model,
    unpack_wishes,
)
from app.predictions.embedding_service import EmbeddingService
from app.predictions.engine import InferenceEngine
from app.predictions.featuriser import Featuriser
from app.predictions.lane import PredictionLane, told
from app.predictions.lane_reader import LaneReader
from app.predictions.messages import receive, send
from app.predictions.pool import FeaturisingPool, ReaderProcess
from app.predictions.selection import SelectedModel
from app.predictions.service import PredictionService
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import Manifest
from app.suggestions.schemas import SuggestionWish
from app.suggestions.service import SuggestionService

_MAX_BYTES = 1 << 40
_SWITCH_S = 0.001
"""How long a thread at a large request may keep the lane waiting at a time."""

log = get_logger(__name__)


class _Files:
    """Files of models, asked of the API. Thread-safe."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def load(self, version: StoredVersion) -> Artifact:
        """Raises what the API could not read them for."""
        with self._lock:
            send(self._connection, version.id.encode())
            answer = receive(self._connection, _MAX_BYTES)
        if answer[0] == REFUSED:
            raise unpack_error(json.loads(answer[1:]))
        start = 9 + int.from_bytes(answer[1:9], "little")
        manifest, (n_weights, n_trust) = json.loads(answer[9:start])
        weights, trust = bytes(answer[start : start + n_weights]), bytes(answer[start + n_weights :])
        return Artifact(Manifest.model_validate(manifest), weights, None if n_trust is None else trust)


class _Chosen:
    """Models that the API has chosen for a request, whatever it named."""

    def __init__(self, models: list[SelectedModel], files: _Files) -> None:
        self._models = models
        self.load = files.load

    def select(self, _models: Sequence[str] | None, _properties: Sequence[str] | None) -> list[SelectedModel]:
        return self._models


class Process:
    """What the sockets lead to."""

    def __init__(self, settings: Settings, engine: InferenceEngine, files: _Files, collected: Collected) -> None:
        self._limits = settings.limits
        self._engine = engine
        self._files = files
        self._collected = collected
        self._read_limit_s = settings.inference.read_limit_s
        size = settings.inference.pool_size
        self._pool = FeaturisingPool(size, self._read_limit_s) if size else None
        self._featuriser = Featuriser(self._pool)
        self._operations: Mapping[str, Callable[[_Chosen, Mapping[str, Any]], bytes]] = {
            "predict": self._predict,
            "embed": self._embed,
            "suggest": self._suggest,
            "prepare": self._prepare,
        }

    def serve_small(self, connection: socket.socket, n_readers: int) -> None:
        """Until the API closes."""
        service = self._predictions(_Chosen([], self._files))
        readers = [LaneReader(ReaderProcess(self._read_limit_s), self._read_limit_s) for _ in range(n_readers)]
        PredictionLane(service, connection, LaneRequestReader().open, self._report, readers).serve()

    def serve_large(self, connection: socket.socket) -> None:
        """One request at a time, until the API closes."""
        try:
            while True:
                status, body = self._answer(receive(connection, _MAX_BYTES))
                send(connection, pack_large_answer(status, self._report() or b"", body))
        except (OSError, EOFError):
            return

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def _answer(self, message: bytearray) -> tuple[int, bytes]:
        try:
            name, models, content = json.loads(message)
            chosen = _Chosen([unpack_model(model) for model in models], self._files)
            return DONE, self._operations[name](chosen, content)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            return told(error)

    def _report(self) -> bytes | None:
        seen = self._collected.take()
        return None if seen is None else pack_json([*seen, self._engine.n_loaded])

    def _predictions(self, chosen: _Chosen) -> PredictionService:
        return PredictionService(chosen, self._engine, self._limits, self._featuriser)

    def _predict(self, chosen: _Chosen, content: Mapping[str, Any]) -> bytes:
        inputs, wishes = unpack_inputs(content["inputs"]), unpack_wishes(content["wishes"])
        return as_json(self._predictions(chosen).predict(inputs, wishes=wishes))

    def _embed(self, chosen: _Chosen, content: Mapping[str, Any]) -> bytes:
        service = EmbeddingService(chosen, self._engine, self._limits, self._featuriser)
        inputs = unpack_inputs(content["inputs"])
        return service.embed(inputs, "", contributions=content["contributions"]).model_dump_json().encode()

    def _suggest(self, chosen: _Chosen, content: Mapping[str, Any]) -> bytes:
        service = SuggestionService(chosen, self._predictions(chosen), self._limits)
        wish = SuggestionWish.model_validate(content["wish"])
        return service.suggest(unpack_inputs(content["inputs"]), wish).model_dump_json().encode()

    def _prepare(self, _chosen: _Chosen, _content: Mapping[str, Any]) -> bytes:
        self._featuriser.prepare()
        return b""


def main() -> None:
    parent, configuration, *descriptors = sys.argv[1:]
    die_with_parent(int(parent))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent decides when to stop
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(configuration)
    settings = Settings(**given["settings"])
    configure_logging(settings.log_level, settings.log_format)
    lane, files, *large = (socket.socket(fileno=int(each)) for each in descriptors)
    collected = collect()
    process = Process(settings, _engine(settings), _Files(files), collected)
    for connection in large:
        threading.Thread(target=process.serve_large, args=(connection,), name="large-requests", daemon=True).start()
    # Libraries are here to stay: looking through all their objects again and again makes requests wait.
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)
    process.serve_small(lane, given["readers"])
    process.close()


def _engine(settings: Settings) -> InferenceEngine:
    from app.learning.engine import InferenceEngine as LearningEngine

    return LearningEngine(settings.inference.max_models, settings.device, settings.inference.threads)


if __name__ == "__main__":
    main()
