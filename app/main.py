"""The composition root: the one place that makes the long-lived objects and joins the routes to them."""

import asyncio
import gc
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import Engine
from sqlalchemy.orm import sessionmaker
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

from app.access.gate import Gate
from app.access.middleware import AccessMiddleware
from app.access.openapi import describe_access
from app.access.openness import refuse_open
from app.access.policy import require_rules
from app.access.routes import router as access_router
from app.bulk.routes import router as bulk_router
from app.cells.routes import router as structures_router
from app.core.db import create_engine_for, open_session, session_factory
from app.core.environment import warn_of_unknown_variables
from app.core.errors import XtalforgeError
from app.core.logging import configure_logging, get_logger
from app.core.metrics import QUEUE_INPUTS, QUEUE_REQUESTS
from app.core.migrations import schema_state
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT, OPERATOR_SCOPE, SHARED_SCOPE
from app.core.tracing import start_tracing, stop_tracing
from app.datasets.routes import router as datasets_router
from app.fine_tuning.routes import router as fine_tuning_router
from app.jobs.metrics import JobMetrics
from app.jobs.queue import JobQueue
from app.jobs.reaper import Reaper
from app.predictions.compute_client import Compute
from app.predictions.directory import ModelDirectory
from app.predictions.embedding_routes import router as embedding_router
from app.predictions.featuriser import Featuriser
from app.predictions.front import Predictions
from app.predictions.pool import FeaturisingPool
from app.predictions.properties_routes import router as properties_router
from app.predictions.queue import PredictionQueue
from app.predictions.quick_route import QuickPredictions
from app.predictions.routes import router as predictions_router
from app.predictions.routes import upload_router
from app.predictions.warm_up import WarmUp
from app.registry.routes import router as registry_router
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore, open_store
from app.screening.routes import router as screening_router
from app.suggestions.routes import router as suggestions_router
from app.tutorials.routes import router as tutorials_router
from app.web.deps import Resources
from app.web.docs import install_docs
from app.web.head import HeadMiddleware
from app.web.health import Readiness
from app.web.health import router as health_router
from app.web.limits import BodyLimitMiddleware
from app.web.metrics import Metrics, MetricsMiddleware, ProcessGauges
from app.web.metrics import router as metrics_router
from app.web.page import install_page
from app.web.parameters import refuse_endless_bodies, refuse_unknown_parameters
from app.web.problems import PROBLEM_JSON, install_problem_handlers, problem_body, problem_responses
from app.web.request_id import RequestIdMiddleware, request_id_of
from app.web.security_headers import SecurityHeadersMiddleware
from app.web.tracing import TracingMiddleware
from app.webhooks.deliverer import Deliverer
from app.webhooks.routes import router as webhooks_router

PREDICTION_THREADS = 4
"""Batches and uploads at work at once, beside the lane of small requests. They mostly wait for the pool."""
MULTIPART_BYTES = 100_000
"""What the other fields of an upload may take beside its file."""

CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": [
        "Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID",
        "X-Request-ID",
    ],
    "expose_headers": ["Content-Disposition", "ETag", "Location", "Retry-After", "X-Request-ID"],
}  # fmt: skip
"""For sites that the settings name. Keys go into headers: cookies and their like are never asked for."""

log = get_logger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The application. Nothing is opened or connected before its lifespan starts."""
    app = FastAPI(
        title="Xtalforge",
        version=version("xtalforge"),
        summary="Properties of inorganic crystals from a CIF or a composition, and new models from your own data.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(refuse_unknown_parameters), Depends(refuse_endless_bodies)],
        responses=problem_responses(XtalforgeError),
        lifespan=_lifespan(settings),
    )
    app.router.routes.append(QuickPredictions())
    for router in (
        predictions_router, upload_router, structures_router, embedding_router, bulk_router, suggestions_router,
        screening_router, properties_router, registry_router, datasets_router, fine_tuning_router, webhooks_router,
        health_router, metrics_router, access_router, tutorials_router,
    ):  # fmt: skip
        app.include_router(router)
    install_docs(app, describe_access)
    install_page(app)
    require_rules(str(context.path) for context in iter_route_contexts(app.routes))
    install_problem_handlers(app)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AccessMiddleware)
    app.add_middleware(
        BodyLimitMiddleware,
        max_bytes=settings.limits.max_upload_bytes,
        uploads=dict.fromkeys(
            (bulk_router.prefix, screening_router.prefix), settings.bulk.max_upload_bytes + MULTIPART_BYTES
        ),
    )
    if settings.access.origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.access.origins, **CORS)
    app.add_middleware(SecurityHeadersMiddleware, behind_tls=settings.access.behind_tls)
    app.add_middleware(MetricsMiddleware)
    if settings.tracing:
        app.add_middleware(TracingMiddleware)
    app.add_middleware(RequestIdMiddleware, error_body=_unexpected_error)
    return app


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.log_level, settings.log_format)
        warn_of_unknown_variables(log, os.environ)
        start_tracing(settings, "xtalforge-api")
        # `RequestIdMiddleware` logs each request, with its id.
        logging.getLogger("uvicorn.access").disabled = True
        async with AsyncExitStack() as at_end:
            at_end.callback(gc.unfreeze)
            app.state.resources = resources = _open_resources(settings, at_end)
            is_migrated = await run_in_threadpool(_register_shipped, resources)
            resources.add(Readiness, _readiness(resources, is_migrated))
            _start_gauges(resources, at_end)
            if is_migrated:
                await _start_services(resources, at_end)
            threading.Thread(target=_settle, args=(app,), name="settle", daemon=True).start()
            watch = asyncio.create_task(resources.get(Gate).run(), name="access-gate")
            at_end.callback(watch.cancel)
            yield

    return lifespan


def _open_resources(settings: Settings, at_end: AsyncExitStack) -> Resources:
    """What routes are handed. Nothing has been started yet; what is open is closed `at_end`, the last one first."""
    engine = create_engine_for(settings.resolved_database_url)
    at_end.callback(engine.dispose)
    sessions = session_factory(engine)
    store = open_store(settings)
    job_queue = JobQueue(settings.resolved_broker_url)
    at_end.callback(job_queue.close)
    pool = _featurising_pool(settings)
    if pool is not None:
        at_end.push_async_callback(run_in_threadpool, pool.close)
    directory = ModelDirectory(sessions, store)
    compute = Compute(settings, directory.load, _lane_readers(settings))
    at_end.push_async_callback(compute.close)
    prediction_queue = PredictionQueue(
        PREDICTION_THREADS, settings.inference.queue_size, settings.inference.queue_inputs
    )
    at_end.callback(prediction_queue.close)
    at_end.push_async_callback(run_in_threadpool, stop_tracing)
    gate = Gate.create(settings, sessions)
    at_end.push_async_callback(run_in_threadpool, gate.close)

    resources = Resources()
    resources.add(Settings, settings)
    resources.add(Engine, engine)
    resources.add(sessionmaker, sessions)
    resources.add(ArtifactStore, store)
    resources.add(JobQueue, job_queue)
    resources.add(Gate, gate)
    resources.add(ModelDirectory, directory)
    resources.add(Featuriser, Featuriser(pool))
    resources.add(Compute, compute)
    resources.add(Predictions, Predictions(compute, settings.limits))
    resources.add(PredictionQueue, prediction_queue)
    return resources


def _start_gauges(resources: Resources, at_end: AsyncExitStack) -> None:
    queue = resources.get(PredictionQueue)
    gauges = ProcessGauges(lambda: _refresh_gauges(queue))
    resources.add(Metrics, Metrics(gauges, [JobMetrics(resources.get(Engine), resources.get(JobQueue))]))
    gauges.start()
    at_end.callback(gauges.stop)


async def _start_services(resources: Resources, at_end: AsyncExitStack) -> None:
    """What needs the tables. Raises what `refuse_open` does for a service that anybody could use."""
    settings, sessions = resources.get(Settings), of_tenant(resources.get(sessionmaker), EVERY_TENANT)
    has_keys = await run_in_threadpool(resources.get(Gate).keys.look)
    refuse_open(settings.host, settings.access.keys, has_keys=has_keys)
    # Not earlier: its imports would take time from what the service needs to become ready.
    await resources.get(Compute).start()
    reaper = Reaper(sessions, settings, resources.get(JobQueue))
    reaper.start()
    at_end.callback(reaper.stop)
    deliverer = Deliverer(sessions, settings.webhooks)
    deliverer.start()
    at_end.callback(deliverer.stop)
    warm_up = WarmUp(resources.get(Predictions), resources.get(ModelDirectory).of(OPERATOR_SCOPE))
    warm_up.start()
    at_end.callback(warm_up.stop)


def _settle(app: FastAPI) -> None:
    try:
        # Takes a while, and some requests are checked by it: the first of them should not have to wait.
        app.openapi()
    finally:
        # Libraries are here to stay: looking through their objects every few seconds made all requests wait for 0.1 s.
        gc.freeze()
        gc.enable()  # see `app.web.uvicorn_start`


def _refresh_gauges(queue: PredictionQueue) -> None:
    n_requests, n_inputs = queue.load()
    QUEUE_REQUESTS.set(n_requests)
    QUEUE_INPUTS.set(n_inputs)


def _register_shipped(resources: Resources) -> bool:
    """Register what `models_store` holds; False, and nothing done, when the schema is not the one needed."""
    state = schema_state(resources.get(Engine))
    if not state.is_at_head:
        log.error(
            "database not migrated: run `xtalforge db upgrade`, then restart", at=state.current, needed=state.head
        )
        return False
    with open_session(of_tenant(resources.get(sessionmaker), SHARED_SCOPE)) as session:
        models = resources.get(Settings).models_store
        RegistryService(session, resources.get(ArtifactStore)).register_shipped(models)
    return True


def _readiness(resources: Resources, was_migrated: bool) -> Readiness:
    engine, store = resources.get(Engine), resources.get(ArtifactStore)

    def database() -> str | None:
        state = schema_state(engine)
        if not state.is_at_head:
            return f"schema {state.current or 'empty'}, needed {state.head}: run `xtalforge db upgrade`"
        return None if was_migrated else "was migrated after this process started: restart it"

    def artifact_store() -> str | None:
        store.exists("readiness")
        return None

    return Readiness({"database": database, "store": artifact_store})


def _featurising_pool(settings: Settings) -> FeaturisingPool | None:
    size = settings.inference.pool_size
    return FeaturisingPool(size, settings.inference.read_limit_s) if size else None


def _lane_readers(settings: Settings) -> int:
    """How many find a core, beside the one of their compute process: that of the API is half idle."""
    cores = (os.cpu_count() or 1) // settings.api_workers
    return max(0, min(settings.inference.pool_size, cores - 1))


def _unexpected_error(scope: Scope) -> tuple[bytes, str]:
    error = XtalforgeError("Something went wrong inside the service. Its log has the details under this request id.")
    body = problem_body(
        error.code,
        error.status,
        error.title,
        error.detail,
        instance=scope["path"],
        request_id=request_id_of(scope),
        extra={},
    )
    return body, PROBLEM_JSON


app = create_app(Settings())
