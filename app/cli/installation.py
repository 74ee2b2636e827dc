"""The local installation that a command works on: database, store and shipped models, without a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.core.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

    from app.registry.store import ArtifactStore

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the installation. [default: $XTALFORGE_DATA_DIR or ./data]")
]


@dataclass(frozen=True, slots=True)
class Installation:
    settings: Settings
    sessions: "sessionmaker[Session]"
    store: "ArtifactStore"


def settings_with(**overrides: Any) -> Settings:
    """The settings of the environment, with the options that were given on the command line."""
    return Settings(**{name: value for name, value in overrides.items() if value is not None})


@contextmanager
def open_database(settings: Settings) -> Iterator["sessionmaker[Session]"]:
    """Migrate, and hand out sessions bound to no tenant."""
    from app.core.db import create_engine_for, session_factory, upgrade_to_head
    from app.core.logging import configure_logging

    configure_logging("WARNING", settings.log_format)
    upgrade_to_head(settings.resolved_database_url)
    engine = create_engine_for(settings.resolved_database_url)
    try:
        yield session_factory(engine)
    finally:
        engine.dispose()


@contextmanager
def open_installation(settings: Settings) -> Iterator[Installation]:
    """Migrate, register the shipped models, and hand out what commands need."""
    from app.core.db import create_engine_for, open_session, session_factory, upgrade_to_head
    from app.core.logging import configure_logging
    from app.core.tenancy import of_tenant
    from app.core.tenants import OPERATOR_SCOPE, SHARED_SCOPE
    from app.registry.service import RegistryService
    from app.registry.store import open_store

    configure_logging("WARNING", settings.log_format)
    upgrade_to_head(settings.resolved_database_url)
    engine = create_engine_for(settings.resolved_database_url)
    unbound, store = session_factory(engine), open_store(settings)
    try:
        with open_session(of_tenant(unbound, SHARED_SCOPE)) as session:
            RegistryService(session, store).register_shipped(settings.models_store)
        yield Installation(settings, of_tenant(unbound, OPERATOR_SCOPE), store)
    finally:
        engine.dispose()
