"""The artifact store, handed to routes."""

from typing import Annotated

from fastapi import Depends

from app.registry.store import ArtifactStore
from app.web.deps import resource

StoreDep = Annotated[ArtifactStore, Depends(resource(ArtifactStore))]
