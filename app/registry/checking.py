"""Whether what the store holds is what was registered."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ArtifactCorrupt, InvalidArchive
from app.registry.exchange import require_safetensors
from app.registry.models import ModelVersion
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore


@dataclass(frozen=True, slots=True)
class CheckedVersion:
    """`problem` is None for a version all of whose files are whole."""

    name: str
    version: int
    sha256: str
    problem: str | None


def check_versions(session: Session, store: ArtifactStore) -> Iterator[CheckedVersion]:
    """Every version that the session sees and that was not deleted: manifest, weights, intervals, card."""
    registry = RegistryService(session, store)
    query = select(ModelVersion).where(ModelVersion.deleted_at.is_(None))
    for version in session.scalars(query.order_by(ModelVersion.model_name, ModelVersion.version)).all():
        yield CheckedVersion(
            version.model_name, version.version, version.weights_sha256, _problem(registry, version)
        )  # fmt: skip


def _problem(registry: RegistryService, version: ModelVersion) -> str | None:
    called = f"{version.model_name}/{version.version}"
    try:
        manifest, weights, trust = registry.files.artifact(version)
        if manifest.weights_sha256 != version.weights_sha256:
            return f"The manifest of {called} names other weights than its row."
        require_safetensors(weights, f"The weights of {called}")
        if trust is not None:
            require_safetensors(trust, f"The intervals of {called}")
        registry.files.require_described(version)
    except (ArtifactCorrupt, InvalidArchive) as error:
        return error.detail
    return None
