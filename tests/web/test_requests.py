"""Requests that go wrong before any route sees them, on the whole application without models."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.core.cursor import encode_cursor
from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.web.problems import PROBLEM_JSON

PREDICTIONS, DATASETS, JOBS = "/v1/predictions", "/v1/datasets", "/v1/fine-tuning/jobs"
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), models_store=tmp_path_factory.mktemp("models"))
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


def _refused(answer: Any, status: int = 422, code: str = "invalid_request") -> str:
    assert answer.headers["content-type"] == PROBLEM_JSON, answer.text
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return str(problem["detail"])


@pytest.mark.parametrize(
    "body",
    [
        {f"k{i}": 0 for i in range(100_000)},
        {"inputs": [{f"k{i}": 0 for i in range(100_000)}]},
        {"inputs": [{"composition": "NaCl"}], "models": ["none"] * 100_000},
    ],
)
def test_a_flood_of_errors_is_not_counted_out(client: TestClient, body: Any) -> None:
    detail = _refused(client.post(PREDICTIONS, json=body))
    assert "100,000 fields" in detail or "At most 50" in detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"inputs": [{"composition": "Si"', "not valid JSON.*at character"),
        ('{"inputs": [{"id": "é"}]}'.encode("latin-1"), "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"inputs": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"", "has no body"),
        (b"[1]", "must be a JSON object"),
        (b'{"inputs": "Si"}', "inputs: This must be a list, not 'Si'"),
        (b'{"inputs": ["Si"]}', r"inputs\[0\]: This must be a JSON object, not 'Si'"),
        (b'{"inputs": []}', "inputs: At least 1 must be given"),
        (b'{"inputs": [{"formula": "Si"}]}', "formula: There is no field of this name"),
        (b'{"inputs": [{"composition": 3}]}', "composition: This must be text in quotes, not 3"),
        (b'{"inputs": [{"composition": null, "id": true}]}', "id: This must be text in quotes, not true"),
        (b'{"inputs": [{"composition": "Si", "id": ""}]}', "too short: at least 1 character"),
        (b'{"inputs": [{"id": "\\ud800", "composition": "Si"}]}', "valid Unicode"),
    ],
)
def test_a_malformed_body_is_told_its_cause(client: TestClient, content: bytes, reason: str) -> None:
    answer = client.post(PREDICTIONS, content=content, headers=JSON_TYPE)
    assert re.search(reason, _refused(answer))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("seed", -1, "seed: -1 is too small: it must be at least 0"),
        ("seed", 1.5, "seed: This must be a whole number, not 1.5"),
        ("seed", "ten", "seed: This must be a whole number, not 'ten'"),
        ("method", "lora", "method: 'lora' is not on offer; choose 'scratch'"),
        ("model_name", "My Model", "model_name: 'My Model' is not a name for a model: small letters"),
        (
            "hyperparameters",
            {"max_epochs": 10**30},
            "hyperparameters.max_epochs: 1000000000000000000000000000000 is too large",
        ),
        (
            "hyperparameters",
            {"learning_rate": "fast"},
            "hyperparameters.learning_rate: This must be a number, not 'fast'",
        ),
    ],
)
def test_a_field_error_names_the_value(client: TestClient, field: str, value: Any, reason: str) -> None:
    body = {"dataset_id": "ds_x", "model_name": "mine", field: value}
    assert _refused(client.post(JOBS, json=body)).startswith(reason)


@pytest.mark.parametrize(
    "number", [b'{"max_seconds": Infinity}', b'{"gradient_clip": Infinity}', b'{"learning_rate": NaN}']
)
def test_numbers_that_are_none_are_refused(client: TestClient, number: bytes) -> None:
    body = b'{"dataset_id": "ds_x", "model_name": "mine", "hyperparameters": ' + number + b"}"
    _refused(client.post(JOBS, content=body, headers=JSON_TYPE))


def test_far_too_many_inputs_are_refused_before_they_are_looked_at(client: TestClient) -> None:
    content = json.dumps({"inputs": [{"no": "such field"}] * 100_000})
    detail = _refused(client.post(PREDICTIONS, content=content, headers=JSON_TYPE), code="too_many_inputs")
    assert "100,000" in detail


def test_too_many_files_are_too_many_inputs(client: TestClient) -> None:
    files = [("files", (f"{i}.cif", b"x")) for i in range(1001)]
    assert "zip" in _refused(client.post(f"{PREDICTIONS}/upload", files=files), code="too_many_inputs")


def test_answers_are_kept_by_no_cache_on_the_way(client: TestClient) -> None:
    assert client.get("/v1/models").headers["cache-control"] == "no-store"
    assert client.get("/v1/models/none").headers["cache-control"] == "no-store"
    assert "no-store" not in client.get("/").headers.get("cache-control", "")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{DATASETS}?lmit=2", "Did you mean limit?"),
        (f"{DATASETS}?limit=1&limit=2", "once only"),
        (f"{DATASETS}?property=a%00", "control character"),
        (f"{DATASETS}/ds_%00", "control character"),
        ("/v1/models/%00", "control character"),
        ("/v1/properties?x=1", "There is none here"),
    ],
)
def test_unknown_parameters_are_refused(client: TestClient, path: str, reason: str) -> None:
    assert reason in _refused(client.get(path))


def test_parameters_of_lists_may_be_repeated(client: TestClient) -> None:
    assert client.get(f"{JOBS}?status=queued&status=running").status_code == 200


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"units": "kbar"}, "There is no form field 'units'. Did you mean unit?"), ({"name": ["a", "b"]}, "once only")],
)
def test_unknown_form_fields_are_refused(client: TestClient, fields: dict[str, Any], reason: str) -> None:
    rows = "composition,k_vrh\n" + "".join(f"Fe{i}O,{i}\n" for i in range(1, 30))
    answer = client.post(DATASETS, files={"file": ("a.csv", rows)}, data={"property": "k_vrh", **fields})
    assert reason in _refused(answer)
    assert client.get(DATASETS).json()["items"] == []


@pytest.mark.parametrize("key", [("2020-01-01T00:00:00", "\ud800"), ("2020-01-01T00:00:00", "\x00"), (10**30,)])
@pytest.mark.parametrize("path", [DATASETS, JOBS, "/v1/models"])
def test_a_made_up_cursor_is_refused(client: TestClient, path: str, key: tuple[str | int, ...]) -> None:
    assert "cursor" in _refused(client.get(path, params={"cursor": encode_cursor(*key)}))


def test_a_slash_too_many_is_told(client: TestClient) -> None:
    detail = _refused(client.post(f"{PREDICTIONS}/", json={}), 404, "route_not_found")
    assert "slash at its end" in detail


def test_head_is_get_without_the_body(client: TestClient) -> None:
    for path in ("/health/live", "/v1/models", "/docs", DATASETS):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/v1/models/nope").status_code == 404
    assert client.head(PREDICTIONS).status_code == 405


def test_positions_beyond_every_event_are_refused(client: TestClient) -> None:
    _refused(client.get(f"{JOBS}/job_x/events?after={10**30}"))
    _refused(client.get(f"{JOBS}/job_x/events", headers={"Last-Event-ID": "9" * 30}))


def test_alias_requests_are_bounded(client: TestClient) -> None:
    path = "/v1/models/mine/aliases/staging"
    _refused(client.put(path, json={"version": 10**30}))
    _refused(client.put(path, json={"version": 1, "reason": "a\x00b"}))
    _refused(client.post(f"{path}/rollback", json={"reason": "a\x00b"}))
