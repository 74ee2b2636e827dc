"""Who is let in, over HTTP, through the whole application."""

import io
import logging
import re
import sqlite3
import time
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import create_engine
from starlette.types import Message

from app.access.policy import RULES, RouteWithoutRule, area_of, require_rules
from app.access.service import AccessService
from app.access.throttle import wall_clock
from app.core.db import open_session, session_factory
from app.core.logging import configure_logging
from app.core.orm import utc_now
from app.core.principal import KeyScope
from app.main import create_app
from app.web.problems import PROBLEM_JSON
from tests.access.conftest import CACHE_S, Start

PREDICT, TRAIN, ADMIN = KeyScope
DATASETS = "/v1/datasets"
COMPOSITION = {"inputs": [{"composition": "NaCl"}]}


def _forget() -> None:
    """What API processes remember of keys is old after this."""
    time.sleep(CACHE_S + 0.01)


def test_open_on_the_loopback_until_a_key_is_made(start: Start) -> None:
    service = start()
    answer = service.client.get("/v1/access").json()
    assert (answer["tenant"], answer["is_operator"], answer["key_id"]) == ("default", True, None)
    assert service.client.get(DATASETS).status_code == 200
    made = service.key(PREDICT, tenant="lab")
    _forget()
    refused = service.client.get(DATASETS)
    assert (refused.status_code, refused.json()["code"]) == (401, "key_missing")
    assert refused.headers["content-type"] == PROBLEM_JSON
    assert refused.headers["www-authenticate"].startswith("Bearer")
    with open_session(service.unbound) as session:
        AccessService(session, "test").revoke_key(made.key.id)
    _forget()
    assert service.client.get(DATASETS).status_code == 401, "revoking the last key must not open the service"


def test_pages_and_health_need_no_key(start: Start) -> None:
    service = start(keys="required")
    for path in ("/", "/docs", "/ui/js/swagger.js", "/openapi.json", "/health/live", "/health/ready"):
        assert service.client.get(path).status_code == 200, path
    for path in (DATASETS, "/v1/models", "/metrics", "/v1/nothing", "/nothing"):
        assert service.client.get(path).status_code == 401, path
    assert service.client.post("/v1/predictions", json=COMPOSITION).status_code == 401


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_opens_its_tenant(start: Start, header: str) -> None:
    service = start(keys="required")
    token = service.key(PREDICT, tenant="lab-a").token
    sent = {header: f"Bearer {token}" if header == "Authorization" else token}
    answer = service.client.get("/v1/access", headers=sent).json()
    assert (answer["tenant"], answer["scopes"], answer["is_operator"]) == ("lab-a", ["predict"], False)


def test_scopes(start: Start) -> None:
    service = start(keys="required")
    for scopes, allowed in (
        ((PREDICT,), {"/v1/models"}),
        ((TRAIN,), {DATASETS}),
        ((PREDICT, TRAIN), {"/v1/models", DATASETS}),
        ((ADMIN,), {"/v1/models", DATASETS, "/metrics"}),
    ):
        key = service.of(service.key(*scopes))
        for path in ("/v1/models", DATASETS, "/metrics"):
            answer = service.client.get(path, headers=key)
            assert answer.status_code == (200 if path in allowed else 403), (scopes, path)
            if answer.status_code == 403:
                assert answer.json()["code"] == "scope_missing"
    other_admin = service.of(service.key(ADMIN, tenant="lab"))
    assert service.client.get("/metrics", headers=other_admin).status_code == 403, "metrics tell of all tenants"
    reader = service.of(service.key(PREDICT))
    assert service.client.put("/v1/models/m/aliases/champion", headers=reader, json={"version": 1}).status_code == 403


def _two_hours_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.access.keyring.utc_now", lambda: utc_now() + timedelta(hours=2))
    _forget()


def test_wrong_expired_and_revoked_keys(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start(keys="required")
    made = service.key(valid=timedelta(hours=1))
    path, key = "/v1/models", service.of(made)
    assert service.client.get(path, headers=key).status_code == 200
    _two_hours_later(monkeypatch)
    assert service.client.get(path, headers=key).json()["code"] == "key_expired"
    with open_session(service.unbound) as session:
        AccessService(session, "test").revoke_key(made.key.id)
    assert service.client.get(path, headers=key).json()["code"] == "key_invalid"
    wrong_secret = made.token[:-43] + "A" * 43
    for token in ("xf_", "nonsense", wrong_secret, "xf_" + "0" * 10 + "_" + "A" * 43, "ä" * 9):
        sent = {b"x-api-key": token.encode("latin-1")}
        answer = service.client.get(path, headers=sent)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid"), token


def test_a_rotated_key_works_on_for_its_grace(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start(keys="required")
    old = service.key(TRAIN, tenant="lab")
    with open_session(service.unbound) as session:
        new = AccessService(session, "test").rotate_key(old.key.id, timedelta(hours=1), None)
    for made in (old, new):
        assert service.client.get("/v1/access", headers=service.of(made)).json()["tenant"] == "lab"
    _two_hours_later(monkeypatch)
    assert service.client.get(DATASETS, headers=service.of(old)).json()["code"] == "key_expired"
    assert service.client.get(DATASETS, headers=service.of(new)).status_code == 200


def test_what_a_proxy_authenticates_with_is_no_key(start: Start) -> None:
    service = start()
    assert service.client.get(DATASETS, headers={"Authorization": "Basic dTpw"}).status_code == 200


def test_requests_from_elsewhere_need_a_key(start: Start) -> None:
    """Whatever address the server was told to listen on: where a request came in counts."""
    assert start("http://127.0.0.1:8000").client.get(DATASETS).status_code == 200
    assert start("http://192.0.2.7:8000").client.get(DATASETS).json()["code"] == "key_missing"
    assert start("http://192.0.2.7:8000", keys="off").client.get(DATASETS).status_code == 200


def test_a_name_that_somebody_pointed_here_is_refused(start: Start) -> None:
    service = start("http://127.0.0.1:8000")
    for host, status in (("localhost:8000", 200), ("[::1]:8000", 200), ("box", 200), ("evil.example.org:8000", 403)):
        assert service.client.get(DATASETS, headers={"Host": host}).status_code == status, host
    named = start("http://127.0.0.1:8000", trusted_hosts="Forge.Example.org, box")
    for host, status in (("forge.example.org", 200), ("evil.example.org", 403), ("127.0.0.1:8000", 200)):
        answer = named.client.get(DATASETS, headers={"Host": host})
        assert answer.status_code == status, host
    assert answer.status_code == 200
    key = named.of(named.key())
    answer = named.client.get(DATASETS, headers={**key, "Host": "evil.example.org"})
    assert answer.json()["code"] == "host_not_trusted"


def test_another_sites_page_changes_nothing_here(start: Start) -> None:
    service = start("http://127.0.0.1:8000")
    for origin, status in (("https://evil.example.org", 403), ("null", 403), ("http://127.0.0.1:8000", 422)):
        answer = service.client.post(DATASETS, headers={"Origin": origin}, files={"file": b"x"})
        assert answer.status_code == status, origin
    # A key is never sent by a browser on its own account.
    key = service.of(service.key())
    answer = service.client.post(DATASETS, headers={**key, "Origin": "https://evil.example.org"}, files={"file": b"x"})
    assert answer.status_code == 422


def test_other_sites_that_the_settings_name(start: Start) -> None:
    asked = {"Origin": "https://lab.example.org", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    closed = start(keys="required")
    assert "access-control-allow-origin" not in closed.client.options(DATASETS, headers=asked).headers
    service = start(keys="required", cors_origins="https://lab.example.org")
    preflight = service.client.options(DATASETS, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://lab.example.org"
    assert "access-control-allow-credentials" not in preflight.headers
    assert service.client.options(DATASETS, headers=asked | {"Origin": "https://x.org"}).status_code == 400
    refused = service.client.get(DATASETS, headers={"Origin": "https://lab.example.org"})
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (401, True)


def test_headers_for_browsers(start: Start) -> None:
    service = start(keys="required")
    for path in ("/", "/docs", "/v1/models", "/health/live"):
        headers = service.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "strict-transport-security" not in headers
    assert "strict-transport-security" in start(behind_tls=True).client.get("/").headers


def test_rates(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_the_clock(monkeypatch)
    service = start(keys="required", requests_per_minute=3)
    slow, quick = service.of(service.key()), service.of(service.key(most=5))
    for key, most in ((slow, 3), (quick, 5)):
        assert [service.client.get("/v1/access", headers=key).status_code for _ in range(most)] == [200] * most
        refused = service.client.get("/v1/access", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 60


def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a minute might end between two requests."""
    now = wall_clock()
    monkeypatch.setattr("app.access.throttle.wall_clock", lambda: now)


def test_guessing_is_slowed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_the_clock(monkeypatch)
    service = start(keys="required", failures_per_minute=4)
    known = service.of(service.key())
    assert service.client.get("/v1/access", headers=known).status_code == 200
    guesses = [service.client.get("/v1/access", headers={"X-API-Key": f"xf_{n}"}).status_code for n in range(6)]
    assert guesses == [401] * 4 + [429] * 2


def test_what_changes_something_or_is_refused_is_written_down(start: Start) -> None:
    service = start(keys="required")
    made = service.key(TRAIN, tenant="lab")
    key = service.of(made)
    rows = "\n".join(f"Na{n}Cl,{n}" for n in range(1, 31))
    table = {"file": ("gaps.csv", f"composition,band_gap\n{rows}")}
    created = service.client.post(DATASETS, headers=key | {"X-Request-ID": "r1"}, files=table,
                                  data={"property": "band_gap"})  # fmt: skip
    assert created.status_code == 201, created.text
    service.client.get(DATASETS, headers=key)
    service.client.delete(f"{DATASETS}/ds_none", headers=key)
    service.client.post("/v1/predictions", headers=key, json=COMPOSITION)
    service.client.get("/v1/models", headers={"X-API-Key": made.token[:-1] + "!"})
    seen = [(e.action, e.object, e.outcome, e.status, e.tenant, e.actor) for e in service.audited()[1:]]
    assert seen == [
        (f"POST {DATASETS}", created.headers["location"], "done", 201, "lab", "a key"),
        (f"DELETE {DATASETS}/ds_none", f"{DATASETS}/ds_none", "failed", 404, "lab", "a key"),
        ("POST /v1/predictions", "/v1/predictions", "refused", 403, "lab", "a key"),
        ("GET /v1/models", "/v1/models", "refused", 401, None, "anybody"),
    ]
    first = service.audited()[1]
    assert (first.request_id, first.key_id, first.address) == ("r1", made.key.id, "testclient")
    assert made.token not in str([(e.detail, e.object, e.actor) for e in service.audited()])


def test_a_database_that_is_away_lets_nobody_in(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    service = start()
    key = service.of(service.key())
    broken = create_engine("sqlite:////nowhere/at/all.db")
    monkeypatch.setattr(service.gate.keys, "_sessions", session_factory(broken))
    monkeypatch.setattr(service.gate.keys, "_looked_at", float("-inf"))
    for headers in (key, {}):
        answer = service.client.get(DATASETS, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"]
    broken.dispose()


def test_nobody_changes_the_audit_log(start: Start) -> None:
    service = start()
    service.key()
    path = service.settings.resolved_database_url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        for statement in ("DELETE FROM audit_event", "UPDATE audit_event SET actor = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_no_key_comes_into_the_logs(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    service = start(keys="required")
    token = service.key().token
    service.client.get(f"/v1/models/{token}?api_key={token}", headers={"X-API-Key": token})
    service.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"})
    logging.getLogger("elsewhere").warning("failed: %s", f"Authorization: Bearer {token}")
    configure_logging()
    assert "/v1/models" in stream.getvalue() and "failed" in stream.getvalue()
    service.client.delete(f"/v1/models/{token}/versions/1", headers={"X-API-Key": token})
    secret = token.split("_", 2)[2]
    assert secret not in stream.getvalue()
    assert secret not in str([(event.action, event.object, event.detail) for event in service.audited()])


def test_every_route_has_a_rule(start: Start) -> None:
    app = create_app(start().settings)
    areas = {area_of(str(context.path)) for context in iter_route_contexts(app.routes)}
    assert areas == set(RULES)


def test_a_route_without_a_rule_does_not_start() -> None:
    app = FastAPI()
    app.get("/v1/secrets/{name}")(lambda name: name)
    with pytest.raises(RouteWithoutRule, match=r"/v1/secrets/\{name\}"):
        require_rules(str(context.path) for context in iter_route_contexts(app.routes))


def test_the_document_says_what_is_needed(start: Start) -> None:
    document = start().client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/health"):
                assert "security" not in operation
            else:
                assert operation["security"] and {"401", "403", "429"} <= set(operation["responses"]), path
    create = document["paths"][DATASETS]["post"]
    assert "scope `train`" in create["description"] and "quota_exceeded" in create["responses"]["403"]["description"]


def test_every_error_that_a_call_names_has_an_example(start: Start) -> None:
    document = start().client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    problems = [r for each in operations for r in each["responses"].values() if PROBLEM_JSON in r.get("content", {})]
    assert len(problems) > len(operations)
    for problem in problems:
        named = set(re.findall(r"\(`(\w+)`\)", problem["description"]))
        assert named == set(problem["content"][PROBLEM_JSON]["examples"]) <= set(document["components"]["examples"])


def test_the_body_of_a_caller_without_a_key_is_left_unread(start: Start) -> None:
    service = start(keys="required")
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"host": "testserver", "content-type": "multipart/form-data; boundary=x", "content-length": "90000000"}
    scope = {
        "type": "http", "method": "POST", "path": DATASETS, "root_path": "", "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "http_version": "1.1",
        "client": ("203.0.113.9", 1), "server": ("testserver", 80),
    }  # fmt: skip
    assert service.client.portal is not None
    service.client.portal.call(service.client.app, scope, receive, send)
    assert sent[0]["status"] == 401
