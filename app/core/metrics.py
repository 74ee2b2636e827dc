"""What this process counts and times for Prometheus; `app.web.metrics` shows it.

Several processes behind one port add up when PROMETHEUS_MULTIPROC_DIR names a folder of theirs before the first import,
as `xtalforge up --api-workers` does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Times what is done within."""
    started = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).observe(time.perf_counter() - started)
