"""The pretrained models of the installation, `models_store/<name>/<version>/`, registered at start."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.core.errors import ArtifactCorrupt
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, WEIGHTS_FILE, Manifest
from app.registry.models import ModelVersion
from app.registry.references import CHAMPION
from app.registry.repository import RegistryRepository
from app.registry.service import SHIPPED, RegistryService
from app.registry.store import ArtifactStore


def register_shipped(session: Session, store: ArtifactStore, folder: Path) -> list[ModelVersion]:
    """Register the versions in `folder` that are not registered yet; returns those it added.

    Safe at every start and in several processes at once. A newer shipped version becomes the champion only where the
    champion was the shipped version before it: what a user promoted stays. Raises ArtifactCorrupt naming the model.
    """
    service, registry = RegistryService(session, store), RegistryRepository(session)
    shipped = sorted(_read_folder(folder), key=lambda found: found[0].parent is not None)
    added = [_register(service, registry, manifest, files) for manifest, files in shipped]
    return [version for version in added if version is not None]


def _register(
    service: RegistryService, registry: RegistryRepository, manifest: Manifest, files: Path
) -> ModelVersion | None:
    service.reserve(manifest)
    if _is_registered(registry, manifest):
        return None
    name = manifest.name
    previous = registry.last_version_number(name, SHIPPED)
    card_file = files / CARD_FILE
    card = _read(card_file, name).decode() if card_file.is_file() else render_card(manifest)
    version = service.register_version(manifest, _read(files / WEIGHTS_FILE, name), card, SHIPPED)
    if previous and service.aliases_of([name])[name].get(CHAMPION) == previous:
        service.aliases.set(name, CHAMPION, version.version, reason=f"shipped in place of version {previous}")
    return version


def _is_registered(registry: RegistryRepository, manifest: Manifest) -> bool:
    same = registry.versions_by_weights(manifest.name, manifest.weights_sha256)
    return any(version.source == SHIPPED for version in same)


def _read_folder(folder: Path) -> Iterator[tuple[Manifest, Path]]:
    """Every version, older ones first."""
    for path in sorted(folder.glob(f"*/*/{MANIFEST_FILE}"), key=_name_and_number):
        name = path.parent.parent.name
        try:
            manifest = Manifest.model_validate_json(_read(path, name))
        except ValidationError as error:
            raise ArtifactCorrupt(f"The manifest of the shipped model {name} cannot be read: {error}") from error
        if manifest.name != name:
            raise ArtifactCorrupt(f"The manifest in the folder of shipped model {name} is that of {manifest.name}.")
        yield manifest, path.parent


def _name_and_number(path: Path) -> tuple[str, int, str]:
    number = path.parent.name
    return path.parent.parent.name, int(number) if number.isdigit() else 0, number


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactCorrupt(f"A file of the shipped model {name} cannot be read: {path.name}: {error}") from error
