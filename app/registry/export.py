"""A model version as one file to take away: usable without this service."""

import io
import zipfile

from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE
from app.registry.models import ModelVersion
from app.registry.service import RegistryService

_READABLE = 0o644
"""Without it `unzip` makes files that nobody may read."""


def export_zip(registry: RegistryService, version: ModelVersion) -> bytes:
    """All files of a version in a zip that is the same at every call. Raises ArtifactCorrupt."""
    manifest, weights, trust = registry.files.artifact(version)
    members = {
        MANIFEST_FILE: manifest.model_dump_json(indent=2).encode(),
        WEIGHTS_FILE: weights,
        CARD_FILE: registry.files.card(version).encode(),
        **({} if trust is None else {TRUST_FILE: trust}),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            # Without a date of its own each member gets 1980, the earliest a zip can say.
            member = zipfile.ZipInfo(f"{version.model_name}/{version.version}/{name}")
            member.external_attr = _READABLE << 16
            archive.writestr(member, content)
    return buffer.getvalue()
