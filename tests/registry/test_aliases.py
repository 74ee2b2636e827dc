"""Aliases: compare-and-set, history and rollback, on both databases."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import (
    AliasNotFound,
    InvalidName,
    ModelNotFound,
    ModelVersionNotFound,
    NothingToRollBack,
    PreconditionFailed,
)
from app.registry.aliases import ABSENT, AliasService
from app.registry.service import IMPORT, RegistryService
from app.registry.store import ArtifactStore
from tests.concurrency import run_at_once
from tests.registry.examples import make_manifest

NAME = "cgcnn-band-gap"


@pytest.fixture
def aliases(registry: RegistryService) -> AliasService:
    """The aliases of a model with four versions, champion at 1."""
    for weights in (b"1", b"2", b"3", b"4"):
        registry.register_version(make_manifest(NAME, weights), weights, "", IMPORT)
    return registry.aliases


def _moves(aliases: AliasService, alias: str = "champion") -> list[tuple[int | None, int | None]]:
    return [(change.from_version, change.to_version) for change in aliases.history(NAME, alias)]


def test_every_move_is_kept(aliases: AliasService) -> None:
    aliases.set(NAME, "champion", 2, reason="better on the hold-out set")
    assert _moves(aliases) == [(1, 2), (None, 1)]
    assert aliases.history(NAME, "champion")[0].reason == "better on the hold-out set"


def test_setting_what_is_set_records_nothing(aliases: AliasService) -> None:
    revision = aliases.get(NAME, "champion").revision
    assert aliases.set(NAME, "champion", 1).revision == revision
    assert _moves(aliases) == [(None, 1)]


def test_compare_and_set(aliases: AliasService) -> None:
    seen = aliases.get(NAME, "champion").revision
    aliases.set(NAME, "champion", 2, expected_revision=seen)
    with pytest.raises(PreconditionFailed, match="points at version 2 now"):
        aliases.set(NAME, "champion", 3, expected_revision=seen)
    assert aliases.get(NAME, "champion").version == 2
    aliases.set(NAME, "candidate", 3, expected_revision=ABSENT)
    with pytest.raises(PreconditionFailed):
        aliases.set(NAME, "candidate", 4, expected_revision=ABSENT)


def test_a_recreated_alias_shows_no_old_revision(aliases: AliasService) -> None:
    seen = aliases.set(NAME, "candidate", 2).revision
    aliases.delete(NAME, "candidate")
    assert aliases.set(NAME, "candidate", 3).revision != seen


def test_one_of_many_wins_a_compare_and_set(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    with open_session(sessions) as session:
        registry = RegistryService(session, store)
        for index in range(6):
            weights = str(index).encode()
            registry.register_version(make_manifest(NAME, weights), weights, "", IMPORT)
        seen = registry.aliases.get(NAME, "champion").revision

    def promote(version: int) -> int | None:
        try:
            with open_session(sessions) as session:
                return AliasService(session).set(NAME, "champion", version, expected_revision=seen).version
        except PreconditionFailed:
            return None

    won = [version for version in run_at_once(promote, range(2, 7)) if version is not None]
    assert len(won) == 1
    with open_session(sessions) as session:
        assert AliasService(session).get(NAME, "champion").version == won[0]


def test_rolling_back_goes_further_each_time(aliases: AliasService) -> None:
    for version in (2, 3):
        aliases.set(NAME, "champion", version)
    assert aliases.rollback(NAME, "champion").version == 2
    assert aliases.rollback(NAME, "champion").version == 1
    with pytest.raises(NothingToRollBack):
        aliases.rollback(NAME, "champion")
    aliases.set(NAME, "champion", 4)
    assert aliases.rollback(NAME, "champion", reason="4 is worse").version == 1


def test_rollback_steps_over_deleted_versions(aliases: AliasService, registry: RegistryService) -> None:
    aliases.set(NAME, "champion", 2)
    aliases.set(NAME, "champion", 3)
    registry.delete_version(NAME, 2)
    assert aliases.rollback(NAME, "champion").version == 1


def test_rollback_brings_a_removed_alias_back(aliases: AliasService) -> None:
    aliases.set(NAME, "candidate", 2)
    aliases.delete(NAME, "candidate", reason="not needed")
    with pytest.raises(AliasNotFound, match="Its aliases: champion"):
        aliases.get(NAME, "candidate")
    assert aliases.rollback(NAME, "candidate").version == 2
    assert [change.kind for change in aliases.history(NAME, "candidate")] == ["rollback", "delete", "set"]


def test_what_does_not_exist(aliases: AliasService) -> None:
    with pytest.raises(ModelNotFound):
        aliases.set("nothing", "champion", 1)
    with pytest.raises(ModelVersionNotFound, match="no version 9"):
        aliases.set(NAME, "champion", 9)
    with pytest.raises(AliasNotFound):
        aliases.delete(NAME, "nothing")
    with pytest.raises(AliasNotFound):
        aliases.rollback(NAME, "nothing")
    with pytest.raises(AliasNotFound):
        aliases.history(NAME, "nothing")
    with pytest.raises(InvalidName, match="is not an alias"):
        aliases.set(NAME, "3", 1)
