"""What a route is handed: settings, a transaction, and the long-lived objects made by the composition root.

A domain declares the dependency of its own long-lived type beside that type, e.g. in `app/registry/deps.py`:

    StoreDep = Annotated[ArtifactStore, Depends(resource(ArtifactStore))]
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends
from sqlalchemy.orm import Session, sessionmaker
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.core.db import open_session
from app.core.principal import Principal
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import TenantScope

T = TypeVar("T")

MAX_SESSIONS = 10
"""Of requests at once, by `SessionDep`; a pool has at least five connections more."""

PRINCIPAL_KEY = "xtalforge.principal"
"""Where the ASGI scope of a request holds its principal."""


class Resources:
    """The long-lived objects of one application, one of each type; filled by `app.main`, read by routes."""

    def __init__(self) -> None:
        self._by_type: dict[type[Any], Any] = {}

    def add(self, kind: type[T], value: T) -> None:
        self._by_type[kind] = value

    def get(self, kind: type[T]) -> T:
        return cast(T, self._by_type[kind])


def resources_of(connection: HTTPConnection) -> Resources:
    return resources_in(connection.scope)


def resources_in(scope: Scope) -> Resources:
    return cast(Resources, scope["app"].state.resources)


def resource(kind: type[T]) -> Callable[[HTTPConnection], Coroutine[Any, Any, T]]:
    """A FastAPI dependency that hands out the application's object of that type."""

    # Not a plain function: the framework would send it through a thread.
    async def provide(connection: HTTPConnection) -> T:
        return resources_of(connection).get(kind)

    return provide


def principal_of(connection: HTTPConnection) -> Principal:
    """Who asks, as the middleware found out. Without it nobody asks: a KeyError, never somebody else's rights."""
    return cast(Principal, connection.scope[PRINCIPAL_KEY])


async def _principal(connection: HTTPConnection) -> Principal:
    return principal_of(connection)


async def _tenant_scope(connection: HTTPConnection) -> TenantScope:
    return principal_of(connection).tenant_scope


async def _sessions(connection: HTTPConnection) -> sessionmaker[Session]:
    return of_tenant(resources_of(connection).get(sessionmaker), principal_of(connection).tenant_scope)


def _session(connection: HTTPConnection) -> Iterator[Session]:
    # A reader must not queue for the write lock that a writer takes at its start.
    read_only = connection.scope["method"] in ("GET", "HEAD")
    sessions = of_tenant(resources_of(connection).get(sessionmaker), principal_of(connection).tenant_scope)
    with open_session(sessions, read_only=read_only) as session:
        yield session


SettingsDep = Annotated[Settings, Depends(resource(Settings))]

# Sessions are bound to the tenant of whoever asks: see `app.core.tenancy`. The unbound factory is never handed out.
# One request, one transaction: "function" scope commits before the answer is sent, so a client never sees a success
# that a failing commit takes back. GET is read-only.
# A session holds its connection also while its request waits for a thread. Were all connections held so, the threads
# would all wait for connections, and nobody would go on: the last ones are for those who have a thread.
SessionDep = Annotated[Session, Depends(_session, scope="function", max_concurrency=MAX_SESSIONS)]

# For routes that need several short transactions, or none while they compute or stream.
SessionsDep = Annotated[sessionmaker[Session], Depends(_sessions)]

PrincipalDep = Annotated[Principal, Depends(_principal)]

# Whose models and data the request may see; for what opens sessions of its own.
TenantScopeDep = Annotated[TenantScope, Depends(_tenant_scope)]
