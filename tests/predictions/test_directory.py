"""Which models answer: remembered, but a move of an alias is seen at once, another process's within a second."""

import asyncio
import time
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import create_engine_for, open_session, session_factory
from app.core.errors import ModelNotFound, ModelVersionNotFound
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.predictions.directory import ModelDirectory
from app.predictions.front import choose
from app.registry.service import IMPORT, RegistryService
from app.registry.store import ArtifactStore, open_store
from tests.registry.examples import make_manifest

NAME = "cgcnn-band-gap"
FOREVER_S = 1000.0


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return open_store(settings)


@pytest.fixture(autouse=True)
def _versions(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    with open_session(sessions) as session:
        for weights in (b"1", b"2", b"3"):
            RegistryService(session, store).register_version(make_manifest(NAME, weights), weights, "", IMPORT)


def _change(sessions: sessionmaker[Session], store: ArtifactStore, change: Callable[[RegistryService], object]) -> None:
    with open_session(sessions) as session:
        change(RegistryService(session, store))


def _champion(directory: ModelDirectory) -> int:
    (by_default,) = directory.select(None, None)
    (by_name,) = directory.select([NAME], None)
    assert by_default.version.version == by_name.version.version
    assert by_name.is_named and not by_default.is_named
    return by_name.version.version


def test_a_move_in_this_process_is_seen_at_once(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    directory = ModelDirectory(sessions, store, FOREVER_S)
    for number in (1, 2, 3, 1):
        _change(sessions, store, lambda registry, to=number: registry.aliases.set(NAME, "champion", to))  # type: ignore[misc]
        assert _champion(directory) == number
    _change(sessions, store, lambda registry: registry.aliases.rollback(NAME, "champion"))
    assert _champion(directory) == 3


def test_a_move_in_another_process_is_seen_soon(
    sessions: sessionmaker[Session], store: ArtifactStore, database_url: str
) -> None:
    directory = ModelDirectory(sessions, store)
    assert _champion(directory) == 1
    elsewhere = create_engine_for(database_url)
    _change(
        of_tenant(session_factory(elsewhere), OPERATOR_SCOPE),
        store,
        lambda registry: registry.aliases.set(NAME, "champion", 2),
    )
    elsewhere.dispose()
    deadline = time.monotonic() + 1.0
    while directory.select([NAME], None)[0].version.version != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_deleted_version_is_gone(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    directory = ModelDirectory(sessions, store, FOREVER_S)
    assert directory.select([f"{NAME}/3"], None)[0].version.version == 3
    _change(sessions, store, lambda registry: registry.delete_version(NAME, 3))
    with pytest.raises(ModelVersionNotFound):
        directory.select([f"{NAME}/3"], None)


def test_a_model_for_those_who_name_it_answers_nobody_else(
    sessions: sessionmaker[Session], store: ArtifactStore
) -> None:
    weights = b"source"
    source = make_manifest("schnet-band-gap", weights, only_when_named=True)
    _change(sessions, store, lambda registry: registry.register_version(source, weights, "", IMPORT))
    directory = ModelDirectory(sessions, store)
    for properties in (None, ["band_gap"]):
        assert [model.label for model in directory.select(None, properties)] == [f"{NAME}/1"]
    (named,) = directory.select([source.name], None)
    assert named.label == "schnet-band-gap/1"


def test_what_is_missing_is_asked_for_again(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    directory = ModelDirectory(sessions, store, FOREVER_S)
    with pytest.raises(ModelNotFound):
        directory.select(["mine"], None)
    elsewhere = make_manifest("mine", b"4")
    _change(sessions, store, lambda registry: registry.register_version(elsewhere, b"4", "", IMPORT))
    assert directory.select(["mine"], None)[0].manifest.name == "mine"


def test_what_is_rolled_back_changes_nothing(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    directory = ModelDirectory(sessions, store, FOREVER_S)
    assert _champion(directory) == 1

    def fail(registry: RegistryService) -> None:
        registry.aliases.set(NAME, "champion", 2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _change(sessions, store, fail)
    assert _champion(directory) == 1


def test_the_database_is_asked_once(
    sessions: sessionmaker[Session], store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ModelDirectory(sessions, store, FOREVER_S)
    first = directory.select([NAME], None)
    monkeypatch.setattr(directory, "_sessions", None)
    assert directory.select([NAME], None) is first


def test_what_is_asked_for_all_the_time_is_renewed_before_it_is_too_old(
    sessions: sessionmaker[Session], store: ArtifactStore, database_url: str
) -> None:
    directory = ModelDirectory(sessions, store, fresh_s=6.0)
    seen = directory.of(OPERATOR_SCOPE)

    async def ask_until(wanted: int) -> bool:
        ends = time.monotonic() + 12.0
        while time.monotonic() < ends:
            assert directory.remembered([NAME], None, OPERATOR_SCOPE) is not None, "a request would have to wait"
            (chosen,) = await choose(seen, [NAME], None)
            if chosen.version.version == wanted:
                return True
            await asyncio.sleep(0.02)
        return False

    assert seen.select([NAME], None)[0].version.version == 1
    elsewhere = create_engine_for(database_url)
    others = of_tenant(session_factory(elsewhere), OPERATOR_SCOPE)
    _change(others, store, lambda registry: registry.aliases.set(NAME, "champion", 2))
    elsewhere.dispose()
    assert asyncio.run(ask_until(2))


def test_one_alone_is_told_to_renew(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    directory = ModelDirectory(sessions, store, fresh_s=0.2)
    directory.select([NAME], None)
    assert not directory.is_to_renew([NAME], None)
    time.sleep(0.11)
    assert [directory.is_to_renew([NAME], None) for _ in range(3)] == [True, False, False]
    directory.ask([NAME], None)
    assert not directory.is_to_renew([NAME], None)
    time.sleep(0.11)
    assert directory.is_to_renew([NAME], None)
