"""A worker's own metrics, on a port of its own."""

import httpx2

from app.core.settings import Settings
from tests.e2e.conftest import free_port
from workers.metrics import serve_metrics


def test_memory_of_the_worker(settings: Settings) -> None:
    port = free_port()
    configured = settings.model_copy(update={"worker_metrics_port": port})
    serve_metrics(configured)
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    assert 'xtalforge_resident_memory_bytes{role="worker"}' in text
    assert "xtalforge_leases_expired_total" in text
    serve_metrics(configured)  # a port in use must not end the worker
