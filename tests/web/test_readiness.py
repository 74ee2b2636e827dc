"""Ready means: the schema is the right one and the store answers."""

from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.web.problems import PROBLEM_JSON


def test_an_empty_database_is_alive_but_not_ready(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        assert client.get("/health/live").json()["status"] == "alive"
        answer = client.get("/health/ready")
        assert answer.status_code == 503 and answer.headers["content-type"] == PROBLEM_JSON
        assert answer.headers["Retry-After"]
        assert answer.json()["code"] == "not_ready" and "xtalforge db upgrade" in answer.json()["detail"]
        upgrade_to_head(settings.resolved_database_url)
        assert "restart" in client.get("/health/ready").json()["detail"]


def test_a_migrated_database_is_ready(settings: Settings) -> None:
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        answer = client.get("/health/ready")
        assert answer.status_code == 200 and answer.json()["checks"] == {"database": "ok", "store": "ok"}


def test_every_route_documents_its_problems(settings: Settings) -> None:
    document = create_app(settings).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            problems = [r for code, r in operation["responses"].items() if code.startswith(("4", "5"))]
            assert problems, (method, path)
            assert all(PROBLEM_JSON in response["content"] for response in problems), (method, path)


def test_every_call_and_parameter_is_described(settings: Settings) -> None:
    document = create_app(settings).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), (method, path)
            # What the framework makes of a function's name is in title case.
            assert operation["summary"] != operation["summary"].title() or " " not in operation["summary"], path
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), (method, path, parameter["name"])
