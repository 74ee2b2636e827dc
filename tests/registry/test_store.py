"""The artifact store: written once, whole or not at all."""

import pytest

from app.core.errors import ArtifactCorrupt
from app.core.settings import Settings
from app.registry.store import ArtifactStore, open_store


def test_what_is_put_is_got(store: ArtifactStore) -> None:
    store.put_new("artifacts/a/weights", b"content")
    assert store.get("artifacts/a/weights") == b"content"
    assert store.exists("artifacts/a/weights")
    assert store.list("artifacts") == ["artifacts/a/weights"]


def test_the_same_content_again_is_no_error(store: ArtifactStore) -> None:
    store.put_new("a", b"content")
    store.put_new("a", b"content")
    assert store.list() == ["a"]


def test_other_content_never_replaces(store: ArtifactStore) -> None:
    store.put_new("a", b"content")
    with pytest.raises(ArtifactCorrupt, match="a differs"):
        store.put_new("a", b"other")
    assert store.get("a") == b"content"


def test_missing_objects_are_named(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactCorrupt, match="artifacts/x is missing"):
        store.get("artifacts/x")
    assert not store.exists("artifacts/x")


def test_deleting_twice_is_no_error(store: ArtifactStore) -> None:
    store.put_new("a", b"content")
    store.delete("a")
    store.delete("a")
    assert store.list() == []


def test_a_folder_with_odd_characters(settings: Settings) -> None:
    odd = settings.data_dir / "my data %20 ä"
    store = open_store(settings.model_copy(update={"store_url": odd.as_uri()}))
    store.put_new("a", b"content")
    assert (odd / "a").read_bytes() == b"content"
