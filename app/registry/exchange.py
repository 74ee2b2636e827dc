"""A model version that was taken away (`export`, `xtalforge models download`), read back as what it says it is."""

from pathlib import Path

import safetensors
from pydantic import ValidationError

from app.core.errors import InvalidArchive
from app.core.settings import LimitSettings
from app.registry.artifact import Artifact
from app.registry.manifest import CARD_FILE, MANIFEST_FILE, TRUST_FILE, WEIGHTS_FILE, Manifest
from app.structures.archive import Archive, member_path, open_archive

MAX_BYTES = 2_000_000_000
_MAX_MANIFEST_BYTES = 10_000_000
_KNOWN = frozenset({MANIFEST_FILE, WEIGHTS_FILE, CARD_FILE, TRUST_FILE})


def read_exported(path: Path, limits: LimitSettings) -> Artifact:
    """The version in a zip, or in a folder, of manifest, weights, card and intervals; any other file is refused.

    Weights and intervals must be safetensors: nothing in them can be run. Whether they are the manifest's is for
    `RegistryService.register_version` to see. Raises InvalidArchive.
    """
    files = _of_folder(path) if path.is_dir() else _of_zip(path, limits)
    missing = {MANIFEST_FILE, WEIGHTS_FILE} - files.keys()
    if missing:
        raise InvalidArchive(f"{path.name} holds no model: {' and '.join(sorted(missing))} missing.")
    try:
        manifest = Manifest.model_validate_json(files[MANIFEST_FILE])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InvalidArchive(
            f"The manifest in {path.name} cannot be read ({where}: {first['msg']}). Was it made by a later version?"
        ) from error
    for name in (WEIGHTS_FILE, TRUST_FILE):
        if name in files:
            require_safetensors(files[name], f"{name} in {path.name}")
    return Artifact(manifest, files[WEIGHTS_FILE], files.get(TRUST_FILE))


def require_safetensors(content: bytes, called: str) -> None:
    """Raises InvalidArchive for anything else, such as a pickle."""
    try:
        safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise InvalidArchive(f"{called} is no safetensors file: {error}.") from error


def _of_zip(path: Path, limits: LimitSettings) -> dict[str, bytes]:
    with path.open("rb") as file, open_archive(file, path.name, limits, MAX_BYTES) as archive:
        folders = {str(member_path(member).parent) for member in archive.members}
        if len(folders) > 1:
            raise InvalidArchive(f"{path.name} holds several folders: one model version at a time.")
        return {_known(member, path): _content(archive, member) for member in archive.members}


def _content(archive: Archive, member: str) -> bytes:
    is_manifest = member_path(member).name == MANIFEST_FILE
    return archive.read(member, _MAX_MANIFEST_BYTES if is_manifest else MAX_BYTES)


def _of_folder(path: Path) -> dict[str, bytes]:
    found = {}
    for member in sorted(path.iterdir()):
        if member.name.startswith("."):
            continue
        try:
            found[_known(member.name, path)] = member.read_bytes()
        except OSError as error:
            raise InvalidArchive(f"{member.name} in {path.name} cannot be read: {error.strerror}.") from error
    return found


def _known(member: str, path: Path) -> str:
    name = member_path(member).name
    if name not in _KNOWN:
        raise InvalidArchive(f"{path.name} holds {name!r}: a model has only {', '.join(sorted(_KNOWN))}.")
    return name
