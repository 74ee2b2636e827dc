"""Every way to fail is a problem document with a stable code."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, UploadFile
from fastapi.testclient import TestClient
from pydantic import BaseModel
from sqlalchemy import create_engine

from app.core.errors import ModelNotFound, QueueFull
from app.web.limits import BodyLimitMiddleware
from app.web.problems import PROBLEM_JSON, install_problem_handlers, problem_body, problem_responses
from app.web.request_id import REQUEST_ID_HEADER, RequestIdMiddleware, request_id_of

LIMIT_BYTES = 10_000
STANDARD_MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id"}


class Item(BaseModel):
    count: int


class Body(BaseModel):
    items: list[Item]


def _app() -> FastAPI:
    app = FastAPI()

    @app.get("/missing", responses=problem_responses(ModelNotFound))
    def missing() -> None:
        raise ModelNotFound("There is no model 'x'.", known=["y"], code="not this one")

    @app.get("/busy")
    def busy() -> None:
        raise QueueFull("Full.", retry_after_s=7)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the secret is 42")

    @app.delete("/items")
    def delete_items() -> None:
        raise AssertionError

    @app.post("/items")
    def items(body: Body) -> int:
        return len(body.items)

    @app.post("/files")
    def files(file: UploadFile) -> int:
        return len(file.file.read())

    install_problem_handlers(app)
    app.add_middleware(BodyLimitMiddleware, max_bytes=LIMIT_BYTES)
    app.add_middleware(
        RequestIdMiddleware,
        error_body=lambda scope: (
            problem_body(
                "internal_error", 500, "Internal error", "-", instance=scope["path"], request_id=request_id_of(scope),
                extra={},
            ),
            PROBLEM_JSON,
        ),
    )  # fmt: skip
    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(_app()) as client:
        yield client


def test_a_known_error_has_its_code_status_and_context(client: TestClient) -> None:
    answer = client.get("/missing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = answer.json()
    assert set(problem) == STANDARD_MEMBERS | {"known"}
    assert problem["code"] == "model_not_found" and problem["known"] == ["y"]
    assert problem["instance"] == "/missing"


def test_busy_says_when_to_come_back(client: TestClient) -> None:
    answer = client.get("/busy")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"


def test_a_fault_tells_the_client_nothing_but_its_id(client: TestClient) -> None:
    answer = client.get("/broken", headers={REQUEST_ID_HEADER: "my-id"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.headers[REQUEST_ID_HEADER] == "my-id" == answer.json()["request_id"]
    assert "42" not in answer.text and "Traceback" not in answer.text


def test_validation_names_the_field_and_not_the_value(client: TestClient) -> None:
    answer = client.post("/items", json={"items": [{"count": 1}, {"count": "a" * 1000}]})
    problem = answer.json()
    assert answer.status_code == 422 and problem["code"] == "invalid_request"
    assert [error["field"] for error in problem["errors"]] == ["items[1].count"]
    assert "aaaa" not in answer.text


def test_common_slips_get_advice(client: TestClient) -> None:
    as_text = client.post("/items", content=b'{"items": []}', headers={"Content-Type": "text/plain"})
    assert as_text.status_code == 422 and "Content-Type: application/json" in as_text.json()["detail"]
    as_field = client.post("/files", data={"file": "x"})
    assert as_field.status_code == 422 and "This must be a file" in as_field.json()["detail"]


@pytest.mark.parametrize("body", [b"{", b"", b'{"items": [' * 50_000, b"\xff\xfe", b"nul\x00"])
def test_what_is_no_json_is_a_client_error(client: TestClient, body: bytes) -> None:
    answer = client.post("/items", content=body[: LIMIT_BYTES - 1], headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "route_not_found"), ("GET", "/items", 405, "method_not_allowed")],
)
def test_unknown_routes_and_methods(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == PROBLEM_JSON
    if status == 405:
        assert answer.headers["Allow"] == "DELETE, POST"


def test_a_request_id_is_made_where_none_or_a_bad_one_came(client: TestClient) -> None:
    first, second = client.get("/missing"), client.get("/missing", headers={REQUEST_ID_HEADER: "a b\tc"})
    ids = {first.headers[REQUEST_ID_HEADER], second.headers[REQUEST_ID_HEADER]}
    assert len(ids) == 2 and all(len(request_id) == 32 for request_id in ids)


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("path", ["/items", "/files"])
def test_a_large_body_is_refused(client: TestClient, path: str, is_chunked: bool) -> None:
    headers = {"Content-Type": "application/json" if path == "/items" else "multipart/form-data; boundary=x"}
    body = b"x" * (3 * LIMIT_BYTES)
    content: bytes | Iterator[bytes] = (
        (body[start : start + 1000] for start in range(0, len(body), 1000)) if is_chunked else body
    )
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["code"] == "payload_too_large" and answer.json()["limit_bytes"] == LIMIT_BYTES


def test_a_body_at_the_limit_passes(client: TestClient) -> None:
    file = b"x" * (LIMIT_BYTES - 500)
    assert client.post("/files", files={"file": ("a.cif", file)}).json() == len(file)


def test_routes_document_their_problems(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/missing"]["get"]["responses"]
    assert "`model_not_found`" in responses["404"]["description"]
    assert PROBLEM_JSON in responses["404"]["content"] and PROBLEM_JSON in responses["422"]["content"]


@pytest.fixture
def with_database(tmp_path: Path) -> Iterator[tuple[TestClient, Path]]:
    """A service that uses two databases: a file, and one where nobody listens."""
    file = tmp_path / "x.db"
    engines = {
        "sqlite": create_engine(
            f"sqlite:///{file}", connect_args={"timeout": 0}, pool_size=1, max_overflow=0, pool_timeout=0
        ),
        "postgresql": create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"),
    }
    app = FastAPI()
    install_problem_handlers(app)

    @app.get("/{database}/{statement}")
    def run(database: str, statement: str) -> None:
        with engines[database].begin() as connection:
            connection.exec_driver_sql(statement)

    @app.get("/twice")
    def twice() -> None:
        with engines["sqlite"].connect(), engines["sqlite"].connect():
            raise AssertionError

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, file
    for engine in engines.values():
        engine.dispose()


def test_a_database_that_is_away_is_said_and_only_that(with_database: tuple[TestClient, Path]) -> None:
    client, file = with_database
    assert client.get("/sqlite/SELECT 1").status_code == 200
    other = sqlite3.connect(file)
    other.execute("BEGIN EXCLUSIVE")
    locked = client.get("/sqlite/CREATE TABLE x (y)")
    other.close()
    for answer in (locked, client.get("/postgresql/SELECT 1"), client.get("/twice")):
        assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "not_ready", "5")
    assert client.get("/sqlite/SELECT y FROM nowhere").status_code == 500
