"""The HTTP API for commands: of a running server, or of this installation without one.

Without a server the same routes answer inside this process, so a command is written once.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from app.cli.installation import open_installation, settings_with
from app.cli.server import Server

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from app.cli.installation import Installation


@contextmanager
def api(server: str | None, data_dir: Path | None, *routes: str) -> Iterator[Server]:
    """The server of that URL; without one this installation, of which these modules of routes are asked."""
    if server is not None:
        with Server(server) as remote:
            yield remote
        return
    with open_installation(settings_with(data_dir=data_dir)) as local:
        application = _application(local, routes)
        with Server("http://this-installation", _InProcess(application)) as here:
            yield here


def _application(local: "Installation", routes: tuple[str, ...]) -> "FastAPI":
    """The routes of some modules, for whoever has the files of the installation: its operator."""
    from fastapi import FastAPI
    from sqlalchemy.orm import sessionmaker

    from app.core.settings import Settings
    from app.jobs.queue import JobQueue
    from app.predictions.directory import ModelDirectory
    from app.registry.store import ArtifactStore
    from app.web.deps import Resources
    from app.web.problems import install_problem_handlers

    application = FastAPI()
    for module in routes:
        application.include_router(import_module(module).router)
    install_problem_handlers(application)
    application.add_middleware(_AsOperator)
    application.state.resources = resources = Resources()
    resources.add(Settings, local.settings)
    resources.add(sessionmaker, local.sessions)
    resources.add(ArtifactStore, local.store)
    resources.add(JobQueue, JobQueue(local.settings.resolved_broker_url))
    resources.add(ModelDirectory, ModelDirectory(local.sessions, local.store))
    return application


class _AsOperator:
    """Keys keep out who comes over the network; whoever can open the database has come past them."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from app.core.principal import OPERATOR
        from app.web.deps import PRINCIPAL_KEY

        scope[PRINCIPAL_KEY] = OPERATOR
        await self._app(scope, receive, send)


class _InProcess(httpx.BaseTransport):
    """Hands requests to an application in this process."""

    def __init__(self, application: "FastAPI") -> None:
        self._application: Any = application

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        return asyncio.run(self._handle(request, content))

    async def _handle(self, request: httpx.Request, content: bytes) -> httpx.Response:
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        async with httpx.ASGITransport(self._application) as transport:
            answer = await transport.handle_async_request(asked)
            body = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=body)
