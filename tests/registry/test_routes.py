"""The calls under /v1/models, on both databases."""

import hashlib
import io
import zipfile
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.settings import Settings
from app.registry.manifest import Manifest, Parent
from app.registry.routes import router
from app.registry.service import IMPORT, RegistryService
from app.registry.store import ArtifactStore
from tests.api import client_of
from tests.registry.examples import make_manifest

NAME = "cgcnn-band-gap"
CHAMPION = f"/v1/models/{NAME}/aliases/champion"


@pytest.fixture
def client(settings: Settings, sessions: sessionmaker[Session], store: ArtifactStore) -> Iterator[TestClient]:
    """Three versions of one model, and another model that started from the first."""
    with open_session(sessions) as session:
        registry = RegistryService(session, store)
        for weights in (b"1", b"2", b"3"):
            registry.register_version(make_manifest(NAME, weights), weights, f"# card of {weights!r}", IMPORT)
        parent = Parent(name=NAME, version=1, weights_sha256=hashlib.sha256(b"1").hexdigest())
        child = make_manifest("my-bulk-moduli", b"child", property_key="k_vrh", parent=parent)
        registry.register_version(child, b"child", "# card", IMPORT)
    with client_of(router, settings, sessions, store) as client:
        yield client


def test_models_are_listed_in_pages(client: TestClient) -> None:
    page = client.get("/v1/models", params={"limit": 1}).json()
    assert [model["name"] for model in page["items"]] == [NAME]
    assert page["items"][0]["champion"]["version"] == 1
    assert page["items"][0]["aliases"] == {"champion": 1}
    rest = client.get("/v1/models", params={"limit": 1, "cursor": page["next"]}).json()
    assert [model["name"] for model in rest["items"]] == ["my-bulk-moduli"]
    assert rest["next"] is None
    only = client.get("/v1/models", params={"property": "k_vrh"}).json()
    assert [model["name"] for model in only["items"]] == ["my-bulk-moduli"]


def test_a_cursor_of_another_list_is_refused(client: TestClient) -> None:
    versions = client.get(f"/v1/models/{NAME}/versions", params={"limit": 1}).json()
    for cursor in (versions["next"], "%%%", "e30"):
        answer = client.get("/v1/models", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_version_says_all_that_is_needed_to_trust_it(client: TestClient) -> None:
    version = client.get(f"/v1/models/{NAME}/versions/1").json()
    assert version["property"]["unit"] == "eV"
    assert version["metrics"]["test"]["mae"] == 0.25
    assert version["sha256"] == hashlib.sha256(b"1").hexdigest()
    assert (version["method"], version["size_bytes"], version["aliases"]) == ("scratch", 1, ["champion"])
    versions = client.get(f"/v1/models/{NAME}/versions").json()
    assert [item["version"] for item in versions["items"]] == [3, 2, 1]


def test_what_does_not_exist_is_said(client: TestClient) -> None:
    for path, code in (
        ("/v1/models/nothing", "model_not_found"),
        ("/v1/models/nothing/versions", "model_not_found"),
        (f"/v1/models/{NAME}/versions/9", "model_version_not_found"),
        (f"/v1/models/{NAME}/aliases/nothing", "alias_not_found"),
        (f"/v1/models/{NAME}/aliases/nothing/history", "alias_not_found"),
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_the_card_is_markdown_or_json(client: TestClient) -> None:
    path = f"/v1/models/{NAME}/versions/2/card"
    card = client.get(path)
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text == "# card of b'2'"
    as_json = client.get(path, headers={"Accept": "application/json"}).json()
    assert as_json["markdown"] == card.text
    assert as_json["version"]["version"] == 2


def test_lineage_goes_both_ways(client: TestClient) -> None:
    up = client.get("/v1/models/my-bulk-moduli/versions/1/lineage").json()
    assert [(v["name"], v["version"]) for v in up["ancestors"]] == [(NAME, 1)]
    assert up["version"]["parent"]["name"] == NAME
    down = client.get(f"/v1/models/{NAME}/versions/1/lineage").json()
    assert [v["name"] for v in down["children"]] == ["my-bulk-moduli"]


def test_a_download_holds_what_is_needed_elsewhere(client: TestClient) -> None:
    answer = client.get(f"/v1/models/{NAME}/versions/1/download")
    assert answer.headers["content-disposition"] == f'attachment; filename="{NAME}-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        folder = f"{NAME}/1"
        manifest = Manifest.model_validate_json(archive.read(f"{folder}/manifest.json"))
        weights = archive.read(f"{folder}/weights.safetensors")
        assert archive.read(f"{folder}/MODEL_CARD.md") == b"# card of b'1'"
        assert {member.external_attr >> 16 for member in archive.infolist()} == {0o644}
    assert hashlib.sha256(weights).hexdigest() == manifest.weights_sha256
    assert client.get(f"/v1/models/{NAME}/versions/1/download").content == answer.content


def test_a_damaged_artifact_is_never_handed_out(client: TestClient, store: ArtifactStore) -> None:
    path = f"artifacts/{hashlib.sha256(b'1').hexdigest()}/weights.safetensors"
    store.delete(path)
    store.put_new(path, b"x")
    answer = client.get(f"/v1/models/{NAME}/versions/1/download")
    assert (answer.status_code, answer.json()["code"]) == (500, "artifact_corrupt")
    assert f"{NAME}/1" in answer.json()["detail"]


def test_an_alias_moves_only_as_it_was_last_seen(client: TestClient) -> None:
    seen = client.get(CHAMPION).headers["etag"]
    moved = client.put(CHAMPION, json={"version": 2, "reason": "better"}, headers={"If-Match": seen})
    assert (moved.status_code, moved.json()["version"]) == (200, 2)
    late = client.put(CHAMPION, json={"version": 3}, headers={"If-Match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    again = client.put(CHAMPION, json={"version": 3}, headers={"If-Match": moved.headers["etag"]})
    assert again.status_code == 200
    assert client.get(f"/v1/models/{NAME}").json()["champion"]["version"] == 3


def test_conditions_that_mean_nothing_are_refused(client: TestClient) -> None:
    candidate = f"/v1/models/{NAME}/aliases/candidate"
    body = {"version": 2}
    assert client.put(candidate, json=body, headers={"If-Match": "*"}).status_code == 412
    assert client.put(candidate, json=body, headers={"If-None-Match": "*"}).status_code == 200
    assert client.put(candidate, json=body, headers={"If-None-Match": "*"}).status_code == 412
    assert client.put(candidate, json=body, headers={"If-Match": "*"}).status_code == 200
    for headers in ({"If-Match": "2"}, {"If-Match": 'W/"1"'}, {"If-None-Match": '"1"'}):
        answer = client.put(candidate, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_history_rollback_and_removal(client: TestClient) -> None:
    client.put(CHAMPION, json={"version": 2, "reason": "better"})
    back = client.post(f"{CHAMPION}/rollback", json={"reason": "worse on nitrides"})
    assert back.json()["version"] == 1
    history = client.get(f"{CHAMPION}/history").json()["items"]
    assert [(move["kind"], move["to_version"], move["reason"]) for move in history] == [
        ("rollback", 1, "worse on nitrides"),
        ("set", 2, "better"),
        ("set", 1, "first version"),
    ]
    nothing = client.post(f"{CHAMPION}/rollback")
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_roll_back")
    assert client.delete(CHAMPION).status_code == 204
    assert client.get(f"/v1/models/{NAME}").json()["champion"] is None


def test_bad_alias_requests(client: TestClient) -> None:
    for path, body, code in (
        (CHAMPION, {"version": 9}, "model_version_not_found"),
        (CHAMPION, {"version": 0}, "invalid_request"),
        (CHAMPION, {"version": 1, "more": 1}, "invalid_request"),
        (f"/v1/models/{NAME}/aliases/3", {"version": 1}, "invalid_name"),
        ("/v1/models/nothing/aliases/champion", {"version": 1}, "model_not_found"),
    ):
        assert client.put(path, json=body).json()["code"] == code


def test_deleting_versions(client: TestClient) -> None:
    for version, reason in ((1, "champion"), (1, "my-bulk-moduli/1")):
        answer = client.delete(f"/v1/models/{NAME}/versions/{version}")
        assert (answer.status_code, answer.json()["code"]) == (409, "model_version_in_use")
        assert reason in answer.json()["detail"]
        client.put(CHAMPION, json={"version": 2})
    assert client.delete(f"/v1/models/{NAME}/versions/3").status_code == 204
    assert client.get(f"/v1/models/{NAME}/versions/3").status_code == 404
