"""The whole service over real HTTP, as a newcomer meets it."""

import csv
import io
import json
import time
from typing import Any

import httpx2

from app.predictions.examples import NACL_CIF
from tests.e2e.conftest import Running
from tests.tiny_models import ENERGY_MODEL, salts
from tests.workers.conftest import poscar

JOB_TIMEOUT_S = 180.0


def _training_csv() -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "poscar", "k_vrh"])
    for i, crystal in enumerate(salts()):
        writer.writerow([f"salt-{i}", poscar(crystal), 40 + 5 * i])
    return text.getvalue().encode()


def _wait_for_end(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while time.monotonic() < deadline:
        job: dict[str, Any] = client.get(f"/v1/fine-tuning/jobs/{job_id}").json()
        if job["status"] in ("succeeded", "failed", "cancelled", "expired"):
            return job
        time.sleep(0.3)
    raise AssertionError(f"job {job_id} did not end: {job}")


def test_the_first_calls_of_a_newcomer(service: Running) -> None:
    with service.client() as client:
        assert client.get("/v1/properties").status_code == 200
        ask = {
            "inputs": [
                {"id": "salt", "cif": NACL_CIF},
                {"id": "sto", "composition": "SrTiO3"},
                {"id": "bad", "composition": "Xx2O"},
            ]
        }
        answer = client.post("/v1/predictions", json=ask)
        assert answer.status_code == 200
        assert {p["input_id"] for p in answer.json()["predictions"]} == {"salt", "sto"}
        assert [e["input_id"] for e in answer.json()["errors"]] == ["bad"]
        upload = client.post("/v1/predictions/upload", files={"files": ("nacl.cif", NACL_CIF)})
        assert upload.status_code == 200
        assert client.post("/v1/predictions", json={"inputs": [{"cif": "hello"}]}).status_code == 422
        unknown = client.post("/v1/predictions", json={"inputs": [{"composition": "NaCl"}], "models": ["nope"]})
        assert unknown.status_code == 404
        assert client.get("/health/live").status_code == 200


def test_a_model_of_ones_own_in_three_calls(service: Running) -> None:
    with service.client() as client:
        uploaded = client.post(
            "/v1/datasets", files={"file": ("salts.csv", _training_csv())}, data={"property": "k_vrh"}
        )
        assert uploaded.status_code == 201, uploaded.text
        created = client.post(
            "/v1/fine-tuning/jobs",
            json={
                "dataset_id": uploaded.json()["id"],
                "model_name": "my-bulk-modulus",
                "base_model": ENERGY_MODEL,
                "hyperparameters": {"max_epochs": 2},
            },
        )
        assert created.status_code == 201, created.text
        job = _wait_for_end(client, created.json()["id"])
        assert job["status"] == "succeeded", job
        assert job["result"]["model"] == "my-bulk-modulus" and job["result"]["version"] == 1

        answer = client.post(
            "/v1/predictions", json={"inputs": [{"cif": NACL_CIF}], "models": ["my-bulk-modulus/1"]}
        ).json()
        assert answer["predictions"][0]["unit"] == "GPa" and answer["predictions"][0]["value"] > 0
        version = client.get("/v1/models/my-bulk-modulus/versions/1").json()
        assert version["metrics"]["test"]["mae"] > 0
        assert ENERGY_MODEL in json.dumps(version["parent"])


def test_the_documentation_asks_nobody_else(service: Running) -> None:
    with service.client() as client:
        page = client.get("/docs").text
        assert "http://" not in page and "https://" not in page and 'src="//' not in page
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
            assert f"/docs/assets/{asset}" in page
            assert client.get(f"/docs/assets/{asset}").status_code == 200
        document = client.get("/openapi.json").json()
        examples = document["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]["application/json"][
            "examples"
        ]
        for example in examples.values():
            assert client.post("/v1/predictions", json=example["value"]).status_code == 200
        assert "Problem" in document["components"]["schemas"]
