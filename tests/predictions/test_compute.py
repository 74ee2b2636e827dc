"""The process that computes: what becomes of requests when it dies, and what it is not told."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import TimeoutError as NoConnection

from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.predictions.examples import NACL_CIF
from app.registry.files import VersionFiles
from app.registry.manifest import MANIFEST_FILE
from tests.tiny_models import ENERGY_MODEL

URL = "/v1/predictions"
WAIT_S = 30.0


def _is_compute(process: psutil.Process) -> bool:
    try:
        return "app.compute" in process.cmdline()
    except psutil.Error:  # a child of another test that has just ended
        return False


def _process() -> psutil.Process:
    (found,) = (p for p in psutil.Process().children() if _is_compute(p))
    return found


def test_a_process_that_died_is_replaced(tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    settings = Settings(data_dir=tmp_path, models_store=tiny_models, device="cpu")
    upgrade_to_head(settings.resolved_database_url)
    small = {"inputs": [{"cif": NACL_CIF}], "models": [ENERGY_MODEL]}
    large = {**small, "inputs": [{"id": str(i), "cif": NACL_CIF} for i in range(20)]}
    with TestClient(create_app(settings)) as client:
        values = [client.post(URL, json=body).json()["predictions"][0]["value"] for body in (small, large)]
        first = _process()
        assert "hunter2" not in str(first.environ()) and not any(k.startswith("XTALFORGE") for k in first.environ())
        os.kill(first.pid, signal.SIGKILL)
        refused = 0
        deadline = time.monotonic() + WAIT_S
        for body, value in zip((small, large), values, strict=True):
            while (answer := client.post(URL, json=body)).status_code != 200:
                assert (answer.status_code, answer.json()["code"]) == (503, "not_ready") and answer.headers[
                    "Retry-After"
                ]
                assert time.monotonic() < deadline
                refused += 1
                time.sleep(0.05)
            assert answer.json()["predictions"][0]["value"] == value
        assert refused > 0
        second = _process()
        assert second.pid != first.pid
    assert not second.is_running()


def test_models_that_cannot_be_read_fail_alone(tmp_path: Path, tiny_models: Path) -> None:
    """What the API finds out about a model's files is told as if the API computed itself."""
    settings = Settings(data_dir=tmp_path, models_store=tiny_models, device="cpu")
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        # It has no model in memory yet: its imports alone take longer.
        manifest = json.loads((tiny_models / ENERGY_MODEL / "1" / MANIFEST_FILE).read_text())
        (tmp_path / "store" / "artifacts" / manifest["weights_sha256"] / "weights.safetensors").write_bytes(b"damaged")
        answer = client.post(URL, json={"inputs": [{"cif": NACL_CIF}], "models": [ENERGY_MODEL]})
        assert (answer.status_code, answer.json()["code"]) == (500, "artifact_corrupt"), answer.text
        answer = client.post(URL, json={"inputs": [{"composition": "NaCl"}]})
        assert answer.status_code == 200


def test_a_database_that_is_away_while_a_model_is_read_is_told_to_wait_for(
    tmp_path: Path, tiny_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, models_store=tiny_models, device="cpu")
    upgrade_to_head(settings.resolved_database_url)
    asked = {"inputs": [{"cif": NACL_CIF}], "models": [ENERGY_MODEL]}
    with TestClient(create_app(settings)) as client, monkeypatch.context() as patched:

        def no_connection(*_: object) -> None:
            raise NoConnection

        patched.setattr(VersionFiles, "artifact", no_connection)
        answer = client.post(URL, json=asked)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready"), answer.text
        assert answer.headers["Retry-After"] == "5"
        patched.undo()
        assert client.post(URL, json=asked).status_code == 200
