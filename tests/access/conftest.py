from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from app.access.audit import read_events
from app.access.gate import Gate
from app.access.models import AuditEvent
from app.access.service import AccessService, MadeKey
from app.core.db import open_session, session_factory
from app.core.orm import utc_now
from app.core.principal import KeyScope
from app.core.settings import InferenceSettings, Settings
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope
from app.main import create_app
from app.predictions.compute_client import Compute
from app.predictions.warm_up import WarmUp
from tests.broker import running_broker

CACHE_S = 0.05


@dataclass(frozen=True)
class Running:
    """The whole application in this process, without models."""

    client: TestClient
    unbound: sessionmaker[Session]
    settings: Settings

    def key(
        self, *scopes: KeyScope, tenant: str = "default", valid: timedelta | None = None, most: int | None = None
    ) -> MadeKey:
        with open_session(self.unbound) as session:
            end = utc_now() + valid if valid is not None else None
            return AccessService(session, "test").create_key("a key", tenant, scopes or tuple(KeyScope), end, most)

    def of(self, made: MadeKey) -> dict[str, str]:
        return {"Authorization": f"Bearer {made.token}"}

    def sessions(self, tenant: str) -> sessionmaker[Session]:
        return of_tenant(self.unbound, TenantScope(tenant))

    @property
    def gate(self) -> Gate:
        gate: Gate = self.client.app.state.resources.get(Gate)  # type: ignore[attr-defined]
        return gate

    def audited(self) -> list[AuditEvent]:
        self.gate.audit.flush()
        with open_session(self.unbound, read_only=True) as session:
            return read_events(session)


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    with running_broker() as url:
        yield url


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """URL of an empty broker."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushall()
    return broker_server


Start = Callable[..., Running]


@pytest.fixture
def start(sqlite_url: str, tmp_path: Path, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts the application with settings of `access`, on a database that all of a test's applications share.

    It has no compute process, which takes seconds to start: nothing is predicted here.
    """
    monkeypatch.setattr(Compute, "start", _nothing)
    monkeypatch.setattr(WarmUp, "start", lambda _: None)
    with ExitStack() as stack:

        def started(base_url: str = "http://testserver", **access: object) -> Running:
            settings = Settings(
                data_dir=tmp_path / "data", models_store=tmp_path / "models_store", device="cpu",
                database_url=sqlite_url, broker_url=broker_url, inference=InferenceSettings(pool_size=0),
                access={"cache_s": CACHE_S, **access},
            )  # type: ignore[arg-type]  # fmt: skip
            return stack.enter_context(_running(settings, base_url))

        yield started


async def _nothing(_: object) -> None:
    return


def _running(settings: Settings, base_url: str) -> AbstractContextManager[Running]:
    @contextmanager
    def run() -> Iterator[Running]:
        from app.core.db import create_engine_for

        engine = create_engine_for(settings.resolved_database_url)
        with TestClient(create_app(settings), base_url=base_url) as client:
            yield Running(client, session_factory(engine), settings)
        engine.dispose()

    return run()


@pytest.fixture
def unbound(engine: Engine) -> sessionmaker[Session]:
    """Sessions of no tenant, on both databases."""
    return session_factory(engine)
