"""The files of model versions in the store, each verified when it is read."""

import hashlib

from pydantic import ValidationError

from app.core.errors import ArtifactCorrupt
from app.registry.artifact import Artifact, StoredVersion
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest
from app.registry.models import ModelVersion
from app.registry.store import ArtifactStore


class VersionFiles:
    """Weights lie by their own digest, manifest, card and intervals in a folder by theirs: nothing is overwritten."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def load(self, version: ModelVersion | StoredVersion) -> tuple[Manifest, bytes]:
        """Manifest and weights, verified; ArtifactCorrupt names the model."""
        called = f"{version.model_name}/{version.version}"
        weights = self._store.get(_weights_path(version.weights_sha256))
        if hashlib.sha256(weights).hexdigest() != version.weights_sha256:
            raise ArtifactCorrupt(f"The stored weights of model {called} are damaged: their sha256 differs.")
        return self.manifest(version), weights

    def artifact(self, version: ModelVersion | StoredVersion) -> Artifact:
        """All that a model answers with, verified; ArtifactCorrupt names it."""
        manifest, weights = self.load(version)
        if manifest.trust is None:
            return Artifact(manifest, weights)
        trust = self._store.get(f"{version.artifact_prefix}/{TRUST_FILE}")
        if hashlib.sha256(trust).hexdigest() != manifest.trust.sha256:
            called = f"{version.model_name}/{version.version}"
            raise ArtifactCorrupt(f"The stored intervals of model {called} are damaged: their sha256 differs.")
        return Artifact(manifest, weights, trust)

    def manifest(self, version: ModelVersion | StoredVersion) -> Manifest:
        try:
            return Manifest.model_validate(version.manifest)
        except ValidationError as error:
            raise ArtifactCorrupt(
                f"The manifest of model {version.model_name}/{version.version} cannot be read: {error}"
            ) from error

    def card(self, version: ModelVersion) -> str:
        """The model card as Markdown."""
        return self._store.get(f"{version.artifact_prefix}/{CARD_FILE}").decode()

    def require_described(self, version: ModelVersion) -> None:
        """Raises ArtifactCorrupt unless manifest and card lie in the store as they were stored."""
        document, card = (self._store.get(f"{version.artifact_prefix}/{name}") for name in (MANIFEST_FILE, CARD_FILE))
        if _described(document, card) != version.artifact_prefix.rsplit("/", 1)[1]:
            called = f"{version.model_name}/{version.version}"
            raise ArtifactCorrupt(f"The stored manifest or card of model {called} is damaged: their sha256 differs.")

    def write(self, manifest: Manifest, weights: bytes, card: str, trust: bytes | None) -> str:
        """All files of a version, which `require_matching` has seen; where in the store they lie."""
        document = manifest.model_dump_json(indent=2).encode()
        prefix = f"artifacts/{manifest.weights_sha256}/{_described(document, card.encode())}"
        self._store.put_new(_weights_path(manifest.weights_sha256), weights)
        self._store.put_new(f"{prefix}/{MANIFEST_FILE}", document)
        self._store.put_new(f"{prefix}/{CARD_FILE}", card.encode())
        if trust is not None:
            self._store.put_new(f"{prefix}/{TRUST_FILE}", trust)
        return prefix


def require_matching(manifest: Manifest, weights: bytes, trust: bytes | None) -> None:
    """Raises ArtifactCorrupt unless weights and `trust` are those that the manifest names."""
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256 or len(weights) != manifest.weights_bytes:
        raise ArtifactCorrupt(
            f"The weights of model {manifest.name} are not the ones its manifest names (sha256 or size differs)."
        )
    named = manifest.trust.sha256 if manifest.trust is not None else None
    if named != (hashlib.sha256(trust).hexdigest() if trust is not None else None):
        raise ArtifactCorrupt(f"The intervals of model {manifest.name} are not those its manifest names.")


def _described(document: bytes, card: bytes) -> str:
    """What the folder of a version's manifest and card is called."""
    return hashlib.sha256(document + card).hexdigest()[:16]


def _weights_path(weights_sha256: str) -> str:
    return f"artifacts/{weights_sha256}/{WEIGHTS_FILE}"
