"""The models that ship, served: which answer what, in which unit, with which warning."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.predictions.examples import NACL_CIF


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


def test_a_crystal_gets_every_structure_champion(shipped: TestClient) -> None:
    body = shipped.post("/v1/predictions", json={"inputs": [{"cif": NACL_CIF}]}).json()
    answers = {p["model"]["name"]: p for p in body["predictions"]}
    assert set(answers) == {"cgcnn-formation-energy", "cgcnn-band-gap", "cgcnn-band-gap-nonmetal"}
    assert answers["cgcnn-formation-energy"]["value"] == pytest.approx(-2.1, abs=0.15)
    assert answers["cgcnn-formation-energy"]["unit"] == "eV/atom"
    assert answers["cgcnn-band-gap"]["value"] == pytest.approx(5.0, abs=0.6)
    assert answers["cgcnn-band-gap"]["notes"] == []
    assert "known to be no metals" in answers["cgcnn-band-gap-nonmetal"]["notes"][0]


def test_a_composition_gets_the_composition_model(shipped: TestClient) -> None:
    body = shipped.post("/v1/predictions", json={"inputs": [{"composition": "SrTiO3"}]}).json()
    (prediction,) = body["predictions"]
    assert prediction["model"]["name"] == "elemnet-formation-energy"
    assert prediction["value"] == pytest.approx(-3.45, abs=0.2)


def test_the_newest_shipped_version_is_the_champion(shipped: TestClient) -> None:
    versions = shipped.get("/v1/models/cgcnn-band-gap/versions").json()["items"]
    champion = shipped.get("/v1/models/cgcnn-band-gap/aliases/champion").json()
    assert champion["version"] == max(v["version"] for v in versions) == 2
