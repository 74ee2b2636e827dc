"""Logs and traces as collectors get them: a request can be followed into its training, JSON from the first line on."""

import gzip
import json
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.conftest import Running, running_up, wait_for
from tests.tiny_models import tiny_models
from tests.workers.conftest import binary_compounds

__all__ = ["tiny_models"]

REQUEST_ID = "follow-me-1"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"X-Request-ID": REQUEST_ID, "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}


def _train(running: Running) -> str:
    with running.client() as client:
        files = {"file": ("binaries.jsonl", binary_compounds())}
        dataset = client.post("/v1/datasets", files=files, data={"property": "k_vrh"}).json()["id"]
        body = {
            "dataset_id": dataset, "model_name": "mine", "method": "scratch", "hyperparameters": {"max_epochs": 1}
        }  # fmt: skip
        answer = client.post("/v1/fine-tuning/jobs", json=body, headers=HEADERS)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        path = f"/v1/fine-tuning/jobs/{job_id}"
        wait_for(lambda: client.get(path).json()["status"] in ("succeeded", "failed"), "the job", 120)
        assert client.get(path).json()["status"] == "succeeded"
    return job_id


def _lines(log: Path, service: str) -> list[dict[str, Any]]:
    told = [line.partition("| ") for line in log.read_text().splitlines() if line.startswith(service)]
    return [json.loads(text) for _, _, text in told if text.strip()]


@pytest.fixture
def json_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTALFORGE_LOG_FORMAT", "json")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the service sends to a collector of traces."""
    received: list[Any] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            sent = ExportTraceServiceRequest.FromString(content)
            received.extend(s for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("XTALFORGE_TRACING", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    yield received
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("json_logs")
def test_a_request_is_followed_into_its_training(tmp_path: Path, tiny_models: Path, spans: list[Any]) -> None:
    with running_up(tmp_path, tiny_models, "--api-workers", "2") as running:
        job_id = _train(running)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)
    api = _lines(running.log, "api")
    assert {line["logger"] for line in api} >= {"uvicorn.error", "app.web.request_id"}
    assert any(line.get("request_id") == REQUEST_ID and line.get("status") == 201 for line in api)
    worker = _lines(running.log, "worker")
    assert any("Warm shutdown" in line["event"] for line in worker)
    of_job = [line for line in worker if job_id in line.values()]
    followed = {line["event"] for line in of_job if line.get("request_id") == REQUEST_ID}
    assert followed >= {"attempt begins", "training begins", "model version registered", "attempt ends"}
    assert {line["job_id"] for line in of_job if "job_id" in line} == {job_id}
    of_trace = {span.name: span for span in spans if span.trace_id.hex() == TRACE_ID}
    assert set(of_trace) == {"POST /v1/fine-tuning/jobs", "job"}
    assert of_trace["job"].parent_span_id == of_trace["POST /v1/fine-tuning/jobs"].span_id
