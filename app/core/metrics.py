"""What this process counts and times for Prometheus; `app.web.metrics` shows it.

Several processes behind one port add up when PROMETHEUS_MULTIPROC_DIR names a folder of theirs before the first import,
as `xtalforge up --api-workers` does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0)

REGISTRY = CollectorRegistry()
"""Of this process alone."""

REQUEST_SECONDS = Histogram(
    "xtalforge_http_request_seconds",
    "Time from the head of a request to the end of its answer; `route` is the path's template.",
    ["method", "route", "status"],
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
STAGE_SECONDS = Histogram(
    "xtalforge_prediction_stage_seconds",
    "Time of one stage of a prediction request: waiting, reading texts and making graphs, forward passes, the answer.",
    ["stage"],
    buckets=_STAGE_BUCKETS,
    registry=REGISTRY,
)
PROBLEMS = Counter(
    "xtalforge_problems",
    "Requests that were refused or failed, by the code of the answer, e.g. queue_full.",
    ["code", "status"],
    registry=REGISTRY,
)
PREDICTIONS = Counter(
    "xtalforge_predictions",
    "Inputs given to a model in requests, by outcome: value or error.",
    ["model", "version", "outcome"],
    registry=REGISTRY,
)
QUEUE_REQUESTS = Gauge(
    "xtalforge_prediction_queue_requests",
    "Prediction requests at work or waiting.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
QUEUE_INPUTS = Gauge(
    "xtalforge_prediction_queue_inputs",
    "Inputs of these requests.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
MODELS_LOADED = Gauge(
    "xtalforge_models_loaded",
    "Model versions in memory.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
LEASES_EXPIRED = Counter(
    "xtalforge_leases_expired",
    "Jobs that this process took back from a worker that stopped answering.",
    registry=REGISTRY,
)


class Observed(NamedTuple):
    """What one process saw and another one counts: stages with their seconds, and predictions by model."""

    stages: list[tuple[str, float]]
    predictions: list[tuple[str, int, str, int]]


class _Sink(Protocol):
    def stage(self, name: str, seconds: float) -> None: ...

    def predictions(self, model: str, version: int, outcome: str, n: int) -> None: ...


class _Here:
    """Counts in this process."""

    def stage(self, name: str, seconds: float) -> None:
        STAGE_SECONDS.labels(name).observe(seconds)

    def predictions(self, model: str, version: int, outcome: str, n: int) -> None:
        PREDICTIONS.labels(model, version, outcome).inc(n)


class Collected(local):
    """Keeps it for another process. Each thread takes what it saw itself: no count comes after its answer."""

    def __init__(self) -> None:
        self._stages: list[tuple[str, float]] = []
        self._predictions: list[tuple[str, int, str, int]] = []

    def stage(self, name: str, seconds: float) -> None:
        self._stages.append((name, seconds))

    def predictions(self, model: str, version: int, outcome: str, n: int) -> None:
        self._predictions.append((model, version, outcome, n))

    def take(self) -> Observed | None:
        """What this thread has seen since the last time; None: nothing."""
        if not self._stages and not self._predictions:
            return None
        seen = Observed(self._stages, self._predictions)
        self._stages, self._predictions = [], []
        return seen


_sink: _Sink = _Here()


def collect() -> Collected:
    """From now on this process counts nothing itself: what it sees is to be handed on."""
    global _sink
    collected = Collected()
    _sink = collected
    return collected


def observe_stage(name: str, seconds: float) -> None:
    _sink.stage(name, seconds)


def count_predictions(model: str, version: int, outcome: str, n: int) -> None:
    """`n` inputs that a model was given; `outcome` is value or error."""
    _sink.predictions(model, version, outcome, n)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Times what is done within."""
    started = time.perf_counter()
    try:
        yield
    finally:
        observe_stage(name, time.perf_counter() - started)
