"""The files of a model version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.registry.manifest import Manifest


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A row of `model_version` for those who answer with it, without a database. `manifest` is the document as stored;
    `artifact_prefix` is where its files lie in the store, empty for those who get them in another way."""

    id: str
    model_name: str
    version: int
    weights_sha256: str
    manifest: Mapping[str, Any]
    artifact_prefix: str = ""


class Artifact(NamedTuple):
    """Manifest, weights, and where the model has intervals the file they come from."""

    manifest: Manifest
    weights: bytes
    trust: bytes | None = None
