"""What lives as long as a worker process: its name, its connections, the watch thread, the orderly shutdown."""

import os
import secrets
import socket
import threading
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

import app.datasets.models  # noqa: F401 - model versions refer to its table
from app.core.db import create_engine_for, open_session, session_factory
from app.core.environment import warn_of_unknown_variables
from app.core.logging import get_logger
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT, TenantScope
from app.core.tracing import start_tracing
from app.jobs.outbox import dispatch
from app.jobs.queue import JobQueue
from app.jobs.reaper import Reaper
from app.jobs.service import JobService
from app.registry.store import ArtifactStore, open_store
from workers.forking import lock_that_delays_forks
from workers.metrics import serve_metrics
from workers.upkeep import Upkeep

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """The connections of one process; nothing of it survives a fork."""

    pid: int
    worker_id: str
    settings: Settings
    engine: Engine
    factory: sessionmaker[Session]
    store: ArtifactStore
    queue: JobQueue

    def of_tenant(self, tenant: str) -> "WorkerContext":
        """The same, for work that one tenant asked for."""
        return replace(self, factory=of_tenant(self.factory, TenantScope(tenant)))


@dataclass(slots=True)
class _State:
    worker_id: str = ""
    context: WorkerContext | None = None


_state = _State()
_shutdown = threading.Event()


def name_this_worker() -> None:
    """Called in the main process before its pool is forked, so that all of it goes by one name."""
    _state.worker_id = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def context() -> WorkerContext:
    """The connections of this process, opened on first use."""
    if _state.context is None or _state.context.pid != os.getpid():
        _state.context = _open_context()
    return _state.context


def _open_context() -> WorkerContext:
    if not _state.worker_id:
        name_this_worker()
    settings = Settings()
    start_tracing(settings, "xtalforge-worker")
    engine = create_engine_for(settings.resolved_database_url)
    factory = of_tenant(session_factory(engine), EVERY_TENANT)
    return WorkerContext(
        pid=os.getpid(), worker_id=_state.worker_id, settings=settings, engine=engine, factory=factory,
        store=open_store(settings), queue=JobQueue(settings.resolved_broker_url),
    )  # fmt: skip


def forget_inherited_connections() -> None:
    """In a freshly forked pool process: drop the parent's connections without closing them under the parent."""
    if _state.context is not None:
        _state.context.engine.dispose(close=False)
        _state.context = None


def start_watch() -> None:
    """In the main process: reaper, upkeep, and the thread that gives jobs back when the worker is told to stop."""
    worker = context()
    warn_of_unknown_variables(log, os.environ)
    no_fork = lock_that_delays_forks()
    Reaper(worker.factory, worker.settings, worker.queue, no_fork).start()
    Upkeep(worker.settings, worker.worker_id).start()
    serve_metrics(worker.settings)
    log.info("job-watch started", worker_id=worker.worker_id)
    threading.Thread(target=_release_on_shutdown, args=(no_fork,), name="job-release", daemon=True).start()


def release_jobs() -> None:
    """Called in a signal handler, which may not touch the database: wake the thread that may."""
    _shutdown.set()


def _release_on_shutdown(no_fork: threading.Lock) -> None:
    """Give the running job back to the queue; its supervisor sees the lost lease, stops the training and returns.

    Without this a warm shutdown would wait hours for the training, a cold one leave the job to the reaper.
    """
    _shutdown.wait()
    worker = context()
    try:
        with no_fork, open_session(worker.factory) as session:
            released = JobService(session, worker.settings.jobs).release_worker(worker.worker_id)
        dispatch(worker.factory, worker.settings.jobs, worker.queue, released)
    except SQLAlchemyError as error:
        log.warning("jobs not released; the reaper will", reason=str(error))
