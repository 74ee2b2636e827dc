"""The artifact store and the registry, handed to routes."""

from typing import Annotated

from fastapi import Depends, Path

from app.registry.service import RegistryService
from app.registry.store import ArtifactStore
from app.web.deps import SessionDep, resource

ModelName = Annotated[str, Path(description="Name of the model.", examples=["elemnet-formation-energy"])]
AliasName = Annotated[str, Path(description="An alias of the model.", examples=["champion"])]

StoreDep = Annotated[ArtifactStore, Depends(resource(ArtifactStore))]


def _registry(session: SessionDep, store: StoreDep) -> RegistryService:
    return RegistryService(session, store)


RegistryDep = Annotated[RegistryService, Depends(_registry, scope="function")]
