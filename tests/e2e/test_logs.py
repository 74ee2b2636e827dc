"""Logs as collectors read them: JSON from the first line on, and a request can be followed into the training."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, running_up, wait_for
from tests.tiny_models import tiny_models
from tests.workers.conftest import binary_compounds

__all__ = ["tiny_models"]

REQUEST_ID = "follow-me-1"


def _train(running: Running) -> str:
    with running.client() as client:
        files = {"file": ("binaries.jsonl", binary_compounds())}
        dataset = client.post("/v1/datasets", files=files, data={"property": "k_vrh"}).json()["id"]
        body = {
            "dataset_id": dataset, "model_name": "mine", "method": "scratch", "hyperparameters": {"max_epochs": 1}
        }  # fmt: skip
        answer = client.post("/v1/fine-tuning/jobs", json=body, headers={"X-Request-ID": REQUEST_ID})
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


@pytest.mark.usefixtures("json_logs")
def test_a_request_is_followed_into_its_training(tmp_path: Path, tiny_models: Path) -> None:
    with running_up(tmp_path, tiny_models, "--api-workers", "2") as running:
        job_id = _train(running)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)
    api = _lines(running.log, "api")
    assert {line["logger"] for line in api} >= {"uvicorn.error", "app.web.request_id"}
    assert any(line.get("request_id") == REQUEST_ID and line.get("status") == 201 for line in api)
    of_job = [
        json.loads(line.partition("| ")[2])
        for line in running.log.read_text().splitlines()
        if line.startswith("worker") and job_id in line and "{" in line
    ]
    followed = {line["event"] for line in of_job if line.get("request_id") == REQUEST_ID}
    assert followed >= {"attempt begins", "training begins", "model version registered", "attempt ends"}
    assert {line["job_id"] for line in of_job if "job_id" in line} == {job_id}
