"""The routes of one domain behind HTTP, on the test's own database and store, without models or workers."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.principal import OPERATOR
from app.core.settings import Settings
from app.registry.store import ArtifactStore
from app.web.deps import PRINCIPAL_KEY, Resources
from app.web.problems import install_problem_handlers


class AsOperator:
    """In place of the service's own middleware: whoever asks may do everything, as tenant `default`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PRINCIPAL_KEY] = OPERATOR
        await self._app(scope, receive, send)


@contextmanager
def client_of(
    router: APIRouter, settings: Settings, sessions: sessionmaker[Session], store: ArtifactStore
) -> Iterator[TestClient]:
    """A client of an application with these routes only."""
    app = FastAPI()
    app.include_router(router)
    install_problem_handlers(app)
    app.add_middleware(AsOperator)
    app.state.resources = resources = Resources()
    resources.add(Settings, settings)
    resources.add(sessionmaker, sessions)
    resources.add(ArtifactStore, store)
    with TestClient(app) as client:
        yield client
