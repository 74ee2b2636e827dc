"""The calls under /v1/webhooks, and what they keep to themselves."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope
from app.registry.store import open_store
from app.webhooks.routes import router
from app.webhooks.schemas import WebhookCreate
from app.webhooks.service import MAX_WEBHOOKS, WebhookService
from app.webhooks.signing import new_secret
from tests.api import client_of

URL = "https://hooks.example.org/xtalforge"


@pytest.fixture
def client(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[TestClient]:
    with client_of(router, settings, sessions, open_store(settings)) as client:
        yield client


def test_a_webhook_comes_and_goes(client: TestClient) -> None:
    made = client.post("/v1/webhooks", json={"url": URL, "description": "chat"})
    assert made.status_code == 201 and made.headers["location"] == f"/v1/webhooks/{made.json()['id']}"
    secret, path = made.json()["secret"], made.headers["location"]
    assert secret.startswith("whsec_")
    sent = [client.post(f"{path}/test").json()["id"] for _ in range(3)]
    answers = [client.get(path), client.get("/v1/webhooks"), client.get("/v1/webhooks/deliveries")]
    assert all(answer.status_code == 200 and secret not in answer.text for answer in answers)
    first = client.get("/v1/webhooks/deliveries", params={"limit": 2}).json()
    rest = client.get("/v1/webhooks/deliveries", params={"limit": 2, "cursor": first["next"]}).json()
    assert [each["id"] for each in (*first["items"], *rest["items"])] == sent[::-1] and rest["next"] is None
    assert client.get("/v1/webhooks/deliveries", params={"status": "delivered"}).json()["items"] == []
    assert client.post(f"/v1/webhooks/deliveries/{sent[0]}/retry").status_code == 202
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert client.get("/v1/webhooks/deliveries").json()["items"] == []


@pytest.mark.parametrize("secret", ["whsec_short", "hunter2hunter2hunter2hunter2hunter2", 5, {"a": "whsec_x"}])
def test_a_refused_secret_is_not_repeated(client: TestClient, secret: object) -> None:
    answer = client.post("/v1/webhooks", json={"url": URL, "secret": secret})
    assert answer.status_code == 422 and answer.json()["code"] == "invalid_request"
    for told in ("hunter2", "whsec_short", "whsec_x"):
        assert told not in answer.text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost:6379/", "https://[::1]/", "http://169.254.169.254/"]
)
def test_addresses_inside_are_refused(client: TestClient, url: str) -> None:
    answer = client.post("/v1/webhooks", json={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_refused")


@pytest.mark.parametrize("url", ["hooks.example.org", "ftp://example.org/", "https://me:pw@example.org/", ""])
def test_what_is_no_url_is_refused(client: TestClient, url: str) -> None:
    assert client.post("/v1/webhooks", json={"url": url}).status_code == 422


def test_there_is_an_end_to_how_many(client: TestClient) -> None:
    for _ in range(MAX_WEBHOOKS):
        assert client.post("/v1/webhooks", json={"url": URL}).status_code == 201
    answer = client.post("/v1/webhooks", json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (403, "quota_exceeded")


def test_other_tenants_webhooks_are_not_there(
    client: TestClient, settings: Settings, sessions: sessionmaker[Session]
) -> None:
    with open_session(of_tenant(sessions, TenantScope("others"))) as session:
        theirs = WebhookService(session, settings.webhooks).create(WebhookCreate(url=URL, secret=new_secret()))
    assert client.get("/v1/webhooks").json()["items"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/test")):
        assert client.request(method, f"/v1/webhooks/{theirs.id}{path}").status_code == 404
