"""The schema, transactions and waiting writers, on both databases."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import check, create_engine_for, open_session, upgrade_to_head
from app.core.errors import InvalidRequest
from app.core.settings import PROJECT_ROOT
from app.core.tenants import DEFAULT_TENANT
from app.registry.models import ModelVersion, RegisteredModel
from tests.concurrency import run_at_once

MINE = (DEFAULT_TENANT, "m")


def _model(name: str = "m") -> RegisteredModel:
    return RegisteredModel(name=name, property_key="band_gap", input_kind="structure")


def test_migrations_lead_to_the_declared_tables(database_url: str) -> None:
    check(database_url)


def test_check_notices_a_changed_schema(database_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE job_event"))
    with pytest.raises(CommandError):
        check(database_url)


def test_upgrading_twice_changes_nothing(database_url: str, sessions: sessionmaker[Session]) -> None:
    with open_session(sessions) as session:
        session.add(_model())
    upgrade_to_head(database_url)
    with open_session(sessions, read_only=True) as session:
        assert session.get(RegisteredModel, MINE) is not None


def test_processes_that_upgrade_at_once_wait_for_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'xtalforge.db'}"
    program = f"from app.core.db import upgrade_to_head; upgrade_to_head({url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", program], cwd=PROJECT_ROOT) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    engine = create_engine_for(url)
    assert "model_version" in inspect(engine).get_table_names()
    engine.dispose()


def test_an_error_rolls_everything_back(sessions: sessionmaker[Session]) -> None:
    def fail() -> None:
        with open_session(sessions) as session:
            session.add(_model())
            session.flush()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    with open_session(sessions, read_only=True) as session:
        assert session.get(RegisteredModel, MINE) is None


def test_foreign_keys_are_enforced(sessions: sessionmaker[Session]) -> None:
    with pytest.raises(IntegrityError), open_session(sessions) as session:
        session.add(
            ModelVersion(
                id="mv_1", model_name="nowhere", version=1, architecture="cgcnn", weights_sha256="0",
                artifact_prefix="p", size_bytes=1, manifest={}, source="import",
            )
        )  # fmt: skip


def test_writers_that_read_first_queue_up(sessions: sessionmaker[Session]) -> None:
    with open_session(sessions) as session:
        session.add(_model())

    def append(letter: str) -> None:
        with open_session(sessions) as session:
            model = session.get_one(RegisteredModel, MINE, with_for_update=True)
            model.description += letter

    run_at_once(append, "abcdefgh")
    with open_session(sessions, read_only=True) as session:
        assert sorted(session.get_one(RegisteredModel, MINE).description) == list("abcdefgh")


def test_a_reader_does_not_wait_for_a_writer(sessions: sessionmaker[Session]) -> None:
    with open_session(sessions) as writer:
        writer.add(_model())
        writer.flush()
        with open_session(sessions, read_only=True) as reader:
            assert reader.get(RegisteredModel, MINE) is None


def test_a_text_with_nul_is_no_internal_error(sessions: sessionmaker[Session]) -> None:
    with open_session(sessions) as session:
        is_postgresql = session.get_bind().dialect.name == "postgresql"
        with pytest.raises(InvalidRequest, match="NUL") if is_postgresql else nullcontext():
            assert session.get(RegisteredModel, (DEFAULT_TENANT, "a\0b")) is None
