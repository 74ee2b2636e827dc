"""GET /metrics: what Prometheus is told, on the whole application."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import create_engine_for, open_session, upgrade_to_head
from app.core.errors import XtalforgeError
from app.core.orm import utc_now
from app.core.settings import PROJECT_ROOT, Settings
from app.jobs.metrics import JobMetrics
from app.jobs.models import Job
from app.jobs.queue import JobQueue
from app.main import create_app
from app.predictions.examples import NACL_CIF
from tests.broker import running_broker
from tests.tiny_models import ENERGY_MODEL, tiny_models

__all__ = ["tiny_models"]

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[TestClient]:
    with running_broker() as broker:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("data"), models_store=tiny_models, broker_url=broker, device="cpu"
        )
        upgrade_to_head(settings.resolved_database_url)
        with TestClient(create_app(settings)) as client:
            _wait_for_warm_up(client)
            yield client


def _wait_for_warm_up(client: TestClient) -> None:
    """Until the predictions are counted that the service makes by itself when it has started."""
    deadline = time.monotonic() + 60
    while not any(name == "xtalforge_predictions_total" for name, _ in _scrape(client)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return _samples(answer.text)


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def test_requests_are_counted_by_the_template_of_their_path(client: TestClient) -> None:
    before = _scrape(client)
    for name in ("a", "b", "c"):
        assert client.get(f"/v1/models/{name}").status_code == 404
    client.get("/made/up/by/a/client")
    after = _scrape(client)
    counted = "xtalforge_http_request_seconds_count"
    labels = {"method": "GET", "route": "/v1/models/{name}", "status": "404"}
    assert _value(after, counted, **labels) - _value(before, counted, **labels) == 3
    assert not any("made/up" in str(key) for key in after)
    assert _value(after, "xtalforge_problems_total", code="model_not_found", status="404") >= 3


def test_predictions_are_timed_by_stage_and_counted_by_model(client: TestClient) -> None:
    before = _scrape(client)
    for edge in ("5.6402", "5.5"):  # a new text each, so that it has to be read
        cif = NACL_CIF.replace("5.6402", edge)
        assert client.post("/v1/predictions", json={"inputs": [{"cif": cif}], "models": [ENERGY_MODEL]}).is_success
    after = _scrape(client)
    for stage in ("queue", "read", "forward", "answer"):
        name = "xtalforge_prediction_stage_seconds_count"
        assert _value(after, name, stage=stage) - _value(before, name, stage=stage) >= 2, stage
    labels = {"model": ENERGY_MODEL, "version": "1", "outcome": "value"}
    name = "xtalforge_predictions_total"
    assert _value(after, name, **labels) - _value(before, name, **labels) == 2
    assert _value(after, "xtalforge_models_loaded") >= 1
    assert _value(after, "xtalforge_prediction_queue_requests") == 0


def test_the_machine_and_what_the_service_needs(client: TestClient) -> None:
    samples = _scrape(client)
    assert _value(samples, "xtalforge_resident_memory_bytes", role="api") > 50e6
    assert _value(samples, "xtalforge_broker_up") == _value(samples, "xtalforge_database_up") == 1
    assert any(name == "xtalforge_build_info" for name, _ in samples)


def test_alerts_are_about_what_there_is(client: TestClient) -> None:
    """An alert about a misspelt metric or code never fires."""
    families = {family.name for family in text_string_to_metric_families(client.get("/metrics").text)}
    alerts = (PROJECT_ROOT / ".deploy" / "alerts.yml").read_text()
    named = {re.sub("_(total|count|bucket)$", "", name) for name in re.findall(r"xtalforge_\w+", alerts)}
    assert len(named) > 8 and named <= families
    codes = {code for choice in re.findall(r'code=~"([^"]+)"', alerts) for code in choice.split("|")}
    assert codes and codes <= _codes_below(XtalforgeError)


def _codes_below(kind: type[XtalforgeError]) -> set[str]:
    return {kind.code}.union(*(_codes_below(each) for each in kind.__subclasses__()))


def test_jobs_are_told_from_sql(sessions: sessionmaker[Session], database_url: str) -> None:
    now = utc_now()
    with open_session(sessions) as session:
        for number, status in enumerate(("queued", "queued", "running", "running", "failed")):
            is_late = number == 3
            session.add(
                Job(
                    id=f"job_{number}", kind="fine_tuning", status=status, spec={}, attempts=1 + number % 2,
                    created_at=now - timedelta(seconds=100 - 10 * number), worker_id=f"w{number}",
                    error_code="worker_lost" if status == "failed" else None,
                    lease_expires_at=now + timedelta(seconds=-5 if is_late else 60),
                )
            )  # fmt: skip
    engine = create_engine_for(database_url)
    queue = JobQueue("redis://127.0.0.1:1/0")
    families = {family.name: family.samples for family in JobMetrics(engine, queue).collect()}
    queue.close()
    engine.dispose()
    by_status = {
        sample.labels["status"]: sample.value
        for sample in families["xtalforge_jobs"]
        if sample.labels["kind"] == "fine_tuning"
    }
    assert (by_status["queued"], by_status["running"], by_status["failed"], by_status["succeeded"]) == (2, 2, 1, 0)
    assert 99 < families["xtalforge_oldest_queued_job_seconds"][0].value < 160
    assert families["xtalforge_jobs_with_expired_lease"][0].value == 1
    assert families["xtalforge_workers_at_work"][0].value == 1
    assert families["xtalforge_job_attempts_lost"][0].value == 2 + 1
    assert families["xtalforge_broker_up"][0].value == 0
    assert not families["xtalforge_broker_messages"]


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    engine = create_engine_for(f"sqlite:///{tmp_path / 'empty.db'}")
    queue = JobQueue("redis://127.0.0.1:1/0")
    families = {family.name: family.samples for family in JobMetrics(engine, queue).collect()}
    queue.close()
    engine.dispose()
    assert families["xtalforge_database_up"][0].value == 0
