"""Shipped models are registered at start: once, whatever restarts, and never over a user's choice."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import ArtifactCorrupt
from app.registry.manifest import WEIGHTS_FILE, Parent
from app.registry.models import ModelVersion
from app.registry.service import IMPORT, RegistryService
from app.registry.store import ArtifactStore
from tests.concurrency import run_at_once
from tests.registry.examples import make_manifest, ship, trust_record

NAME = "cgcnn-band-gap"


def _start(sessions: sessionmaker[Session], store: ArtifactStore, folder: Path) -> list[tuple[str, int]]:
    with open_session(sessions) as session:
        return [
            (version.model_name, version.version)
            for version in RegistryService(session, store).register_shipped(folder)
        ]


def _champion(sessions: sessionmaker[Session], store: ArtifactStore) -> ModelVersion:
    with open_session(sessions) as session:
        return RegistryService(session, store).resolve(NAME)


def test_restarts_add_nothing(sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path) -> None:
    ship(tmp_path, make_manifest(NAME, b"1"), b"1", 1)
    ship(tmp_path, make_manifest("elemnet", b"e"), b"e", 1, card=False)
    assert _start(sessions, store, tmp_path) == [(NAME, 1), ("elemnet", 1)]
    assert _start(sessions, store, tmp_path) == []
    assert _champion(sessions, store).source == "shipped"


def test_processes_that_start_at_once_add_it_once(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    ship(tmp_path, make_manifest(NAME, b"1"), b"1", 1)
    added = run_at_once(lambda _: _start(sessions, store, tmp_path), range(4))
    assert sorted(added) == [[], [], [], [(NAME, 1)]]


def test_a_newer_version_becomes_champion(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    ship(tmp_path, make_manifest(NAME, b"1"), b"1", 1)
    _start(sessions, store, tmp_path)
    for number in (2, 10):
        weights = str(number).encode()
        ship(tmp_path, make_manifest(NAME, weights), weights, number)
    assert _start(sessions, store, tmp_path) == [(NAME, 2), (NAME, 3)]
    assert _champion(sessions, store).version == 3


def test_a_promoted_version_stays_champion(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    ship(tmp_path, make_manifest(NAME, b"1"), b"1", 1)
    _start(sessions, store, tmp_path)
    with open_session(sessions) as session:
        registry = RegistryService(session, store)
        mine = registry.register_version(make_manifest(NAME, b"mine"), b"mine", "", IMPORT)
        registry.aliases.set(NAME, "champion", mine.version)
    ship(tmp_path, make_manifest(NAME, b"2"), b"2", 2)
    assert _start(sessions, store, tmp_path) == [(NAME, 3)]
    assert _champion(sessions, store).id == mine.id


def test_parents_are_registered_before_children(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    base = make_manifest("z-base", b"z")
    parent = Parent(name="z-base", version=1, weights_sha256=base.weights_sha256)
    ship(tmp_path, make_manifest(NAME, b"1", parent=parent), b"1", 1)
    ship(tmp_path, base, b"z", 1)
    _start(sessions, store, tmp_path)
    assert _champion(sessions, store).parent_id is not None


def test_damaged_files_are_named(sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path) -> None:
    folder = ship(tmp_path, make_manifest(NAME, b"weights"), b"weights", 1)
    (folder / WEIGHTS_FILE).write_bytes(b"weighty")
    with pytest.raises(ArtifactCorrupt, match=f"model {NAME} are not the ones its manifest names"):
        _start(sessions, store, tmp_path)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ArtifactCorrupt, match=f"shipped model {NAME}"):
        _start(sessions, store, tmp_path)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactCorrupt, match=f"manifest of the shipped model {NAME}"):
        _start(sessions, store, tmp_path)


def test_no_folder_ships_nothing(sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path) -> None:
    assert _start(sessions, store, tmp_path / "none") == []


def test_a_version_whose_writing_broke_off_is_left_alone(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    ship(tmp_path, make_manifest(NAME, b"1"), b"1", 1)
    written = ship(tmp_path, make_manifest(NAME, b"2"), b"2", 2)
    written.rename(written.with_name(".2.partial"))
    assert _start(sessions, store, tmp_path) == [(NAME, 1)]


def test_the_same_weights_with_intervals_are_a_new_version(
    sessions: sessionmaker[Session], store: ArtifactStore, tmp_path: Path
) -> None:
    plain = make_manifest(NAME, b"1")
    ship(tmp_path, plain, b"1", 1)
    assert _start(sessions, store, tmp_path) == [(NAME, 1)]
    parent = Parent(name=NAME, version=1, weights_sha256=plain.weights_sha256)
    ship(tmp_path, make_manifest(NAME, b"1", trust=trust_record(b"t"), parent=parent), b"1", 2, trust=b"t")
    assert _start(sessions, store, tmp_path) == [(NAME, 2)]
    assert _start(sessions, store, tmp_path) == []
    champion = _champion(sessions, store)
    assert (champion.version, champion.source) == (2, "shipped")
    with open_session(sessions) as session:
        ancestors, _ = RegistryService(session, store).lineage(champion)
    assert [version.version for version in ancestors] == [1]
