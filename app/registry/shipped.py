"""The pretrained models of the installation as files: `models_store/<name>/<version>/`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.core.errors import ArtifactCorrupt
from app.registry.card import render_card
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """One version; its weights are read when they are needed."""

    manifest: Manifest
    folder: Path

    def weights(self) -> bytes:
        return _read(self.folder / WEIGHTS_FILE, self.manifest.name)

    def trust(self) -> bytes | None:
        """What its intervals come from, where it has any."""
        return _read(self.folder / TRUST_FILE, self.manifest.name) if self.manifest.trust is not None else None

    def card(self) -> str:
        """The card beside the weights, or one written from the manifest."""
        path = self.folder / CARD_FILE
        return _read(path, self.manifest.name).decode() if path.is_file() else render_card(self.manifest)


def read_shipped(folder: Path) -> list[ShippedModel]:
    """Every version, older ones first and models trained from others last; ArtifactCorrupt names the model."""
    return sorted(_manifests(folder), key=lambda shipped: shipped.manifest.parent is not None)


def _manifests(folder: Path) -> Iterator[ShippedModel]:
    # A name with a dot in front is a version that is being written, or whose writing broke off.
    for path in sorted(folder.glob(f"[!.]*/[!.]*/{MANIFEST_FILE}"), key=_name_and_number):
        name = path.parent.parent.name
        try:
            manifest = Manifest.model_validate_json(_read(path, name))
        except ValidationError as error:
            raise ArtifactCorrupt(f"The manifest of the shipped model {name} cannot be read: {error}") from error
        if manifest.name != name:
            raise ArtifactCorrupt(f"The manifest in the folder of shipped model {name} is that of {manifest.name}.")
        yield ShippedModel(manifest, path.parent)


def _name_and_number(path: Path) -> tuple[str, int, str]:
    number = path.parent.name
    return path.parent.parent.name, int(number) if number.isdigit() else 0, number


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactCorrupt(f"A file of the shipped model {name} cannot be read: {path.name}: {error}") from error
