"""The files of a model version."""

from typing import NamedTuple

from app.registry.manifest import Manifest


class Artifact(NamedTuple):
    """Manifest, weights, and where the model has intervals the file they come from."""

    manifest: Manifest
    weights: bytes
    trust: bytes | None = None
