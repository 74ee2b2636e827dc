"""Fixtures for all tests: settings, both databases, the artifact store, the data kit."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import create_engine_for, session_factory, upgrade_to_head
from app.core.settings import PROJECT_ROOT, Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from tests.forked import Forks, running_forks
from tests.postgres import PostgresUnavailable, running_postgres

DATA_KIT_VARIABLE = "XTALFORGE_DATA_KIT"
TEMPLATE_DATABASE = "xtalforge_template"

# Jobs would stand back behind the other tests that run at the same time.
os.environ.setdefault("XTALFORGE_JOBS__NICENESS", "0")

hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis_settings.register_profile("search", deadline=None, print_blob=True)
hypothesis_settings.load_profile("repeatable")


SLOW = ("workers", "e2e", "faults", "fuzz", "benchmarks", "ui", "cli", "client")
"""Folders whose files take longest. Whole files are dealt to processes: a long one at the end leaves others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.path.parent.name))


def _turn(folder: str) -> int:
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server with a migrated template database; skips where none can be started."""
    try:
        with running_postgres(tmp_path_factory.mktemp("postgres")) as url:
            _administer(url, f"CREATE DATABASE {TEMPLATE_DATABASE}")
            upgrade_to_head(f"{_sqlalchemy_url(url)}/{TEMPLATE_DATABASE}")
            yield url
    except PostgresUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts programs of this package at once."""
    with TemporaryDirectory() as folder, running_forks(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def xtalforge(forks: Forks) -> Path:
    """The command, as a program that starts at once."""
    return forks.program


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade_to_head(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "xtalforge.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    _administer(postgres_server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE_DATABASE}")
    yield f"{_sqlalchemy_url(postgres_server)}/{name}"
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database of its own for each test, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine_for(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    """Factory of sessions on the migrated database; use it with `open_session`."""
    return of_tenant(session_factory(engine), OPERATOR_SCOPE)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that write below the test's own folder only."""
    return Settings(data_dir=tmp_path / "data", models_store=tmp_path / "models_store")


@pytest.fixture(scope="session")
def data_kit() -> Path:
    """Folder of the published data sets; skips where there is none."""
    named = os.environ.get(DATA_KIT_VARIABLE)
    folder = Path(named) if named else PROJECT_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the data kit is not at {folder}: set {DATA_KIT_VARIABLE}")
    return folder


def _administer(server_url: str, statement: str) -> None:
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def _sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes name no test: those of a zip hold the time, and all processes of a run have to know it by one name."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None
