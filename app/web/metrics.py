"""GET /metrics for Prometheus, and the middleware that times requests."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import psutil
from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.machine import MachineCollector
from app.core.metrics import REGISTRY, REQUEST_SECONDS
from app.web.deps import resource

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
REFRESH_S = 5.0
"""How old the gauges of another process may be."""

_NO_ROUTE = "(none)"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

router = APIRouter(tags=["health"])


class MetricsMiddleware:
    """Times each request, the sending of its answer included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, noting_send)
        finally:
            route = route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else "(other)"
            REQUEST_SECONDS.labels(method, route, status).observe(time.perf_counter() - started)


def route_of(scope: Scope) -> str:
    """The template of the path. Never the path itself: what clients make up would become metrics without end."""
    return getattr(scope.get("route"), "path", _NO_ROUTE)


class ProcessGauges:
    """Gauges of this process that are read, not counted; kept fresh for the other processes' scrapes too."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        """`refresh` sets them."""
        self.refresh = refresh
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if _folder() is not None:
            self._thread = threading.Thread(target=self._loop, name="metrics", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _loop(self) -> None:
        while not self._stop.wait(REFRESH_S):
            self.refresh()


class Metrics:
    """All that one scrape shows."""

    def __init__(self, gauges: ProcessGauges, collectors: Iterable[Collector]) -> None:
        """`collectors` are asked once each, however many API processes there are."""
        self._gauges = gauges
        self._collectors = [*collectors, MachineCollector(_api_pids, "api", "helpers")]

    def text(self) -> bytes:
        """In Prometheus' text format."""
        self._gauges.refresh()
        registry = CollectorRegistry()
        for collector in self._collectors:
            registry.register(collector)
        folder = _folder()
        if folder is None:
            return generate_latest(REGISTRY) + generate_latest(registry)
        _forget_dead(folder)
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


@router.get("/metrics", include_in_schema=False)
def metrics(shown: Annotated[Metrics, Depends(resource(Metrics))]) -> Response:
    """What Prometheus scrapes."""
    return Response(shown.text(), media_type=CONTENT_TYPE_LATEST)


def _api_pids() -> set[int]:
    folder = _folder()
    if folder is None:
        return {os.getpid()}
    pids = _pids(folder)
    # A process that computes predictions counts too; it belongs to the API process that started it.
    return {pid for pid in pids if _parent(pid) not in pids}


def _parent(pid: int) -> int:
    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return 0


def _folder() -> Path | None:
    named = os.environ.get(MULTIPROCESS_VARIABLE)
    return Path(named) if named else None


def _pids(folder: Path) -> set[int]:
    """Of the processes that have left files and are alive."""
    named = {path.stem.rpartition("_")[2] for path in folder.glob("*.db")}
    return {int(pid) for pid in named if pid.isdecimal() and psutil.pid_exists(int(pid))}


def _forget_dead(folder: Path) -> None:
    """Gauges of a process that ended; what it counted stays."""
    alive = _pids(folder)
    for path in folder.glob("gauge_live*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and int(pid) not in alive:
            with suppress(FileNotFoundError):
                mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]
