"""An installation from before there were tenants, brought to this version with everything it holds."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, select, text

from app.core.db import MIGRATIONS_FOLDER, check, create_engine_for, open_session, session_factory, upgrade_to_head
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.jobs.models import Job, JobEvent
from app.registry.models import ModelAlias, ModelVersion

BEFORE = "2026_11_21_bulk_part"
NOW = "2026-11-21 00:00:00+00:00"


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'old.db'}"
        return
    server, name = request.getfixturevalue("postgres_server"), f"old_{uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield f"{server.replace('postgresql://', 'postgresql+psycopg://', 1)}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _fill(url: str) -> None:
    """A shipped model, one of the user's own, one that is both, and a job with its event."""
    engine = create_engine(url)
    versions = [("ship", 1, "shipped"), ("own", 1, "fine_tuning"), ("both", 1, "shipped"), ("both", 2, "import")]
    with engine.begin() as connection:

        def add(table: str, **values: object) -> None:
            names = ", ".join(values)
            connection.execute(
                text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in values)})"), values
            )

        add("job", id="job_1", kind="k", status="queued", spec="{}", idempotency_key="i", attempts=0, max_attempts=3,
            cancel_requested=False, created_at=NOW)  # fmt: skip
        add("job_event", job_id="job_1", seq=1, level="info", kind="status", message="m", data="{}", created_at=NOW)
        for name in ("ship", "own", "both"):
            add("registered_model", name=name, property_key="k", input_kind="s", description="", created_at=NOW)
        for name, number, source in versions:
            add("model_version", id=f"{name}{number}", model_name=name, version=number, architecture="a",
                weights_sha256="w", artifact_prefix="p", size_bytes=1, manifest="{}", source=source,
                created_at=NOW)  # fmt: skip
        for name in ("ship", "own", "both"):
            add("model_alias", model_name=name, alias="champion", version=1, revision=1, updated_at=NOW)
            add("model_alias_change", model_name=name, alias="champion", kind="set", to_version=1, reason="",
                changed_at=NOW)  # fmt: skip
    engine.dispose()


def test_what_was_there_belongs_to_the_first_tenant_and_shipped_models_to_all(old_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER))
    config.attributes["url"] = old_url
    command.upgrade(config, BEFORE)
    _fill(old_url)
    upgrade_to_head(old_url)
    check(old_url)
    engine = create_engine_for(old_url)
    with open_session(of_tenant(session_factory(engine), OPERATOR_SCOPE), read_only=True) as session:
        assert [job.tenant for job in session.scalars(select(Job))] == ["default"]
        assert [event.tenant for event in session.scalars(select(JobEvent))] == ["default"]
        expected = {"ship": "shared", "own": "default", "both": "default"}
        for table in (ModelVersion, ModelAlias):
            assert {row.model_name: row.tenant for row in session.scalars(select(table))} == expected
        assert len(session.scalars(select(ModelVersion)).all()) == 4
    engine.dispose()
