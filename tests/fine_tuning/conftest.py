from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.settings import Settings
from app.datasets.models import Dataset
from app.fine_tuning.routes import router
from app.jobs.queue import JobQueue
from app.jobs.service import JobService
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, InputKind, PretextRecord, PropertyRecord
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore, open_store
from app.web.deps import Resources
from app.web.problems import install_problem_handlers
from app.web.request_id import RequestIdMiddleware
from tests.api import AsOperator
from tests.broker import running_broker
from tests.registry.examples import make_manifest


@dataclass(frozen=True)
class Service:
    """The fine-tuning calls over HTTP, and what lies behind them."""

    client: TestClient
    sessions: sessionmaker[Session]
    settings: Settings
    store: ArtifactStore
    broker_url: str

    def add_dataset(
        self, property_key: str = "k_vrh", input_kind: str = "structure", n_rows: int = 120, unit: str | None = None,
        n_formulas: int = 100,
    ) -> str:  # fmt: skip
        dataset_id = f"ds_{uuid4().hex}"
        record = PropertyRecord.of(get_property(property_key)).model_dump(mode="json")
        record["unit"] = unit or record["unit"]
        with open_session(self.sessions) as session:
            session.add(
                Dataset(
                    id=dataset_id, name="measured", property_key=property_key, property_record=record,
                    input_kind=input_kind, n_rows=n_rows, content_sha256=uuid4().hex * 2, artifact_path="datasets/x",
                    size_bytes=1, report={"n_formulas": n_formulas},
                )
            )  # fmt: skip
        return dataset_id

    def add_model(
        self, name: str, property_key: str, n_train: int = 1000, source: str = "shipped",
        input_kind: InputKind = InputKind.STRUCTURE, pretext: PretextRecord | None = None,
        trained_on: str | None = None, **changes: Any,
    ) -> None:  # fmt: skip
        weights = uuid4().bytes
        is_structure = input_kind is InputKind.STRUCTURE
        architecture = Architecture(changes.pop("architecture", "cgcnn" if is_structure else "elemnet"))
        manifest = make_manifest(
            name, weights, property_key=property_key, input_kind=input_kind, network={"n_conv": 3},
            architecture=architecture, **changes,
        )  # fmt: skip
        known = {"n_train": n_train, "pretext": pretext, "dataset_sha256": trained_on}
        training = manifest.training.model_copy(update=known)
        manifest = manifest.model_copy(update={"training": training})
        with open_session(self.sessions) as session:
            RegistryService(session, self.store).register_version(manifest, weights, "card", source)

    def add_shipped(self) -> None:
        """As an installation has them: two for structures, one for compositions."""
        self.add_model("cgcnn-formation-energy", "formation_energy_per_atom", 1000)
        self.add_model("cgcnn-band-gap", "band_gap", 2000)
        self.add_model("elemnet", "formation_energy_per_atom", 5000, input_kind=InputKind.COMPOSITION)

    def submit(self, expected: int = 201, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        response = self.client.post("/v1/fine-tuning/jobs", json=body, headers=headers)
        assert response.status_code == expected, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def jobs(self, session: Session) -> JobService:
        return JobService(session, self.settings.jobs)


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    with running_broker() as url:
        yield url


@pytest.fixture
def service(sessions: sessionmaker[Session], settings: Settings, broker_server: str) -> Iterator[Service]:
    with redis.Redis.from_url(broker_server) as broker:
        broker.flushall()
    queue, store = JobQueue(broker_server), open_store(settings)
    app = FastAPI()
    app.include_router(router)
    install_problem_handlers(app)
    app.add_middleware(AsOperator)
    app.add_middleware(RequestIdMiddleware, error_body=lambda scope: (b"{}", "application/problem+json"))
    app.state.resources = resources = Resources()
    for kind, value in ((Settings, settings), (sessionmaker, sessions), (ArtifactStore, store), (JobQueue, queue)):
        resources.add(kind, value)
    with TestClient(app) as client:
        yield Service(client, sessions, settings, store, broker_server)
    queue.close()
