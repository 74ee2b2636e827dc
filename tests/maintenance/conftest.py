"""An installation with something of everything in it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.access.audit import AuditTrail, Entry
from app.access.service import AccessService
from app.bulk.models import BulkPart
from app.core.db import create_engine_for, open_session, session_factory
from app.core.principal import KeyScope
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT, OPERATOR_SCOPE
from app.datasets.service import DatasetService
from app.jobs.kinds import JobKind
from app.jobs.service import JobService
from app.registry.service import FINE_TUNING, SHIPPED, RegistryService
from app.registry.store import ArtifactStore, open_store
from tests.registry.examples import make_manifest, trust_record
from tests.s3 import s3_server, s3_url

__all__ = ["s3_server", "s3_url"]


@dataclass
class Filled:
    """An installation and what it holds."""

    settings: Settings
    engine: Engine
    sessions: sessionmaker[Session]
    store: ArtifactStore
    dataset_id: str = ""
    job_id: str = ""
    bulk_id: str = ""

    def fill(self) -> None:
        with open_session(of_tenant(self.sessions, EVERY_TENANT)) as session:
            AccessService(session, "root@here").create_key("alice", "lab-a", [KeyScope.PREDICT], None)
        AuditTrail(self.sessions).write(
            [Entry("lab-a", "alice", None, "192.0.2.1", "DELETE /v1/models/x", "/v1/models/x ✓", 403, "r1", "no")]
        )
        csv = "composition,k_vrh\n" + "".join(f"Fe{i}O{i + 1},{i}.5\n" for i in range(1, 40))
        with open_session(self.sessions) as session:
            datasets = DatasetService(session, self.store, self.settings)
            self.dataset_id = datasets.create("a.csv", io.BytesIO(csv.encode()), "k_vrh", "iron ✓")[0].id
        with open_session(self.sessions) as session:
            jobs = JobService(session, self.settings.jobs)
            self.job_id = jobs.create("fine_tuning", {"dataset_id": self.dataset_id, "x": [1, None, 0.1]}).id
            self.bulk_id = jobs.create(
                JobKind.BULK_PREDICTION, {"input_path": "bulk/b/input", "parts_prefix": "bulk/b/parts"}
            ).id
            registry = RegistryService(session, self.store)
            parent = registry.register_version(make_manifest(), b"weights", "card", SHIPPED)
            trust = b"intervals"
            manifest = make_manifest(weights=b"others", trust=trust_record(trust))
            # The id of the parent sorts after the child's: rows must not be restored in the order of their ids.
            child = registry.register_version(
                manifest, b"others", "card 2", FINE_TUNING, parent.id, self.dataset_id, self.job_id, trust=trust
            )
            child.id, parent_id = "mv_0", parent.id
            assert child.id < parent_id
            registry.aliases.set("cgcnn-band-gap", "champion", 2, reason="better")
            self.store.put_stream("bulk/b/input", [b"formula\n", b"NaCl\n"])
            self.store.put_new("bulk/b/parts/1.parquet", b"part")
            session.add(
                BulkPart(
                    job_id=self.bulk_id, number=1, n_inputs=1, n_failed=0, n_lines=1, path="bulk/b/parts/1.parquet",
                    size_bytes=2**40,
                )
            )  # fmt: skip


def installation(settings: Settings) -> Filled:
    engine = create_engine_for(settings.resolved_database_url)
    sessions = of_tenant(session_factory(engine), OPERATOR_SCOPE)
    return Filled(settings, engine, sessions, open_store(settings))


@pytest.fixture
def filled(tmp_path: Path, database_url: str) -> Iterator[Filled]:
    """Once on SQLite and once on PostgreSQL."""
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=database_url)
    found = installation(settings)
    found.fill()
    yield found
    found.engine.dispose()
