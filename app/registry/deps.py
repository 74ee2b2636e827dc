"""The artifact store and the registry, handed to routes."""

from typing import Annotated

from fastapi import Depends

from app.registry.service import RegistryService
from app.registry.store import ArtifactStore
from app.web.deps import SessionDep, resource

StoreDep = Annotated[ArtifactStore, Depends(resource(ArtifactStore))]


def _registry(session: SessionDep, store: StoreDep) -> RegistryService:
    return RegistryService(session, store)


RegistryDep = Annotated[RegistryService, Depends(_registry, scope="function")]
