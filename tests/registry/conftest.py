"""A store in a folder, and a registry on either database."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.settings import Settings
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore, open_store


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return open_store(settings)


@pytest.fixture
def registry(sessions: sessionmaker[Session], store: ArtifactStore) -> Iterator[RegistryService]:
    """A registry within one transaction, committed when the test ends."""
    with open_session(sessions) as session:
        yield RegistryService(session, store)
