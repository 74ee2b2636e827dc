"""The routes of one domain behind HTTP, on the test's own database and store, without models or workers."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.core.settings import Settings
from app.registry.store import ArtifactStore
from app.web.deps import Resources
from app.web.problems import install_problem_handlers


@contextmanager
def client_of(
    router: APIRouter, settings: Settings, sessions: sessionmaker[Session], store: ArtifactStore
) -> Iterator[TestClient]:
    """A client of an application with these routes only."""
    app = FastAPI()
    app.include_router(router)
    install_problem_handlers(app)
    app.state.resources = resources = Resources()
    resources.add(Settings, settings)
    resources.add(sessionmaker, sessions)
    resources.add(ArtifactStore, store)
    with TestClient(app) as client:
        yield client
