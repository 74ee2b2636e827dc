"""The calls under /v1/datasets, on both databases."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

from app.core.settings import Settings
from app.datasets.routes import router
from app.registry.store import open_store
from tests.api import client_of
from tests.datasets.tables import as_csv, as_zip, compositions, records, rocksalts


@pytest.fixture
def client(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[TestClient]:
    with client_of(router, settings, sessions, open_store(settings)) as client:
        yield client


def _upload(client: TestClient, content: bytes, file_name: str = "bulk.csv", **form: Any) -> Any:
    return client.post("/v1/datasets", files={"file": (file_name, content)}, data={"property": "k_vrh", **form})


def test_an_upload_answers_with_its_report(client: TestClient) -> None:
    answer = _upload(client, as_csv(records()), name="bulk moduli")
    assert answer.status_code == 201
    dataset = answer.json()
    assert (dataset["name"], dataset["n_rows"], dataset["created"]) == ("bulk moduli", 30, True)
    assert dataset["property"]["unit"] == "GPa"
    labels = dataset["report"]["labels"]
    assert labels["max"] == 187.0
    histogram = labels["histogram"]
    assert histogram["scale"] == dataset["property"]["transform"] == "log10"
    assert sum(histogram["counts"]) == dataset["n_rows"] and len(histogram["edges"]) == len(histogram["counts"]) + 1
    assert (histogram["edges"][0], histogram["edges"][-1]) == pytest.approx((labels["min"], labels["max"]))
    found = client.get(answer.headers["location"]).json()
    assert found == {key: value for key, value in dataset.items() if key != "created"}


def test_the_same_upload_again_is_the_same_data_set(client: TestClient) -> None:
    first = _upload(client, as_csv(records()))
    again = _upload(client, as_csv(records(), delimiter=";"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["created"] is False
    assert again.json()["name"] == "bulk"


def test_a_zip_and_a_property_of_the_users_own(client: TestClient) -> None:
    answer = _upload(client, as_zip(rocksalts()), "set.zip", property="hardness", unit="GPa", transform="log10")
    assert answer.status_code == 201
    assert answer.json()["property"]["transform"] == "log10"


@pytest.mark.parametrize(
    ("content", "form", "status", "code"),
    [
        (as_csv(records()[:10]), {}, 422, "dataset_invalid"),
        (b"", {}, 422, "dataset_invalid"),
        (as_csv(records()), {"property": "hardness"}, 404, "property_not_found"),
        (as_csv(records()), {"property": "a b"}, 422, "invalid_name"),
        (as_csv(records()), {"transform": "ln"}, 422, "invalid_request"),
        (as_csv(records()), {"unit": "MPa"}, 422, "invalid_input"),
        (as_csv(records()), {"name": "x" * 201}, 422, "invalid_request"),
    ],
)
def test_bad_uploads_store_nothing(
    client: TestClient, settings: Settings, content: bytes, form: dict[str, str], status: int, code: str
) -> None:
    answer = _upload(client, content, **form)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert client.get("/v1/datasets").json() == {"items": [], "next": None}
    assert open_store(settings).list() == []


def test_a_refused_upload_comes_with_its_report(client: TestClient) -> None:
    rows = [{**row, "k_vrh": -1} for row in records()]
    problem = _upload(client, as_csv(rows)).json()
    assert problem["report"]["failure_counts"] == {"label_not_positive": 30}
    assert "no logarithm" in problem["detail"]


def test_requests_without_a_file_or_a_property(client: TestClient) -> None:
    for request in ({"data": {"property": "k_vrh"}}, {"files": {"file": ("a.csv", b"x")}}):
        answer = client.post("/v1/datasets", **request)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_lists_are_newest_first_and_without_reports(client: TestClient) -> None:
    made = [_upload(client, as_csv(compositions(30 + i))).json()["id"] for i in range(3)]
    page = client.get("/v1/datasets", params={"limit": 2}).json()
    rest = client.get("/v1/datasets", params={"limit": 2, "cursor": page["next"]}).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == made[::-1]
    assert "report" not in page["items"][0]
    for cursor in ("nonsense", "WyJhIiwiYiJd"):
        assert client.get("/v1/datasets", params={"cursor": cursor}).json()["code"] == "invalid_request"


def test_deleting(client: TestClient) -> None:
    path = _upload(client, as_csv(records())).headers["location"]
    assert client.delete(path).status_code == 204
    for answer in (client.get(path), client.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")
