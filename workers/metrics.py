"""Metrics of one worker on a port of its own; what is known of jobs, every API process tells from SQL."""

import os

from prometheus_client import start_http_server
from prometheus_client.registry import CollectorRegistry

from app.core.logging import get_logger
from app.core.machine import MachineCollector
from app.core.metrics import LEASES_EXPIRED
from app.core.settings import Settings

log = get_logger(__name__)


def serve_metrics(settings: Settings) -> None:
    """Serve `/metrics` for Prometheus from a thread, where a port is set. A port in use is only logged."""
    if not settings.worker_metrics_port:
        return
    registry = CollectorRegistry()
    registry.register(MachineCollector(lambda: [os.getpid()], "worker", "jobs"))
    registry.register(LEASES_EXPIRED)
    try:
        start_http_server(settings.worker_metrics_port, settings.host, registry)
    except OSError as error:
        log.warning("no metrics of this worker", port=settings.worker_metrics_port, reason=str(error))
