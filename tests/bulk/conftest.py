from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.bulk.routes import router
from app.core.db import open_session
from app.core.settings import BulkSettings, Settings
from app.jobs.queue import JobQueue
from app.predictions.directory import ModelDirectory
from app.registry.manifest import Architecture, InputKind
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore, open_store
from app.screening.routes import router as screening_router
from app.web.deps import Resources
from app.web.problems import install_problem_handlers
from app.web.request_id import RequestIdMiddleware
from tests.api import AsOperator
from tests.broker import running_broker
from tests.registry.examples import make_manifest
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]

MAX_ROWS = 500
URL = "/v1/bulk-predictions"


@dataclass(frozen=True)
class Service:
    """The calls over HTTP, and what lies behind them; no worker runs."""

    client: TestClient
    sessions: sessionmaker[Session]
    settings: Settings
    store: ArtifactStore
    queue: JobQueue

    def add_model(self, name: str, property_key: str, input_kind: InputKind = InputKind.STRUCTURE) -> None:
        weights = uuid4().bytes
        is_structure = input_kind is InputKind.STRUCTURE
        manifest = make_manifest(
            name, weights, property_key=property_key, input_kind=input_kind, graph={} if is_structure else None,
            architecture=Architecture.CGCNN if is_structure else Architecture.ELEMNET,
        )  # fmt: skip
        with open_session(self.sessions) as session:
            RegistryService(session, self.store).register_version(manifest, weights, "card", "shipped")

    def submit(
        self, content: bytes, expected: int = 201, name: str = "rows.csv", key: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else None
        response = self.client.post(URL, files={"file": (name, content)}, data=fields, headers=headers)
        assert response.status_code == expected, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    with running_broker() as url:
        yield url


@pytest.fixture
def service(sessions: sessionmaker[Session], settings: Settings, broker_server: str) -> Iterator[Service]:
    with redis.Redis.from_url(broker_server) as broker:
        broker.flushall()
    settings = settings.model_copy(update={"bulk": BulkSettings(max_rows=MAX_ROWS, max_upload_bytes=1_000_000)})
    queue, store = JobQueue(broker_server), open_store(settings)
    app = FastAPI()
    app.include_router(router)
    app.include_router(screening_router)
    install_problem_handlers(app)
    app.add_middleware(AsOperator)
    app.add_middleware(RequestIdMiddleware, error_body=lambda scope: (b"{}", "application/problem+json"))
    app.state.resources = resources = Resources()
    directory = ModelDirectory(sessions, store)
    for kind, value in (
        (Settings, settings), (sessionmaker, sessions), (ArtifactStore, store), (JobQueue, queue),
        (ModelDirectory, directory),
    ):  # fmt: skip
        resources.add(kind, value)
    with TestClient(app) as client:
        made = Service(client, sessions, settings, store, queue)
        made.add_model("energies", "formation_energy_per_atom")
        made.add_model("gaps", "band_gap")
        made.add_model("formulas", "formation_energy_per_atom", InputKind.COMPOSITION)
        yield made
    queue.close()
