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


def test_a_source_for_transfer_answers_who_names_it(shipped: TestClient) -> None:
    name = "schnet-formation-energy-no-tmo"
    asked = {"inputs": [{"cif": NACL_CIF}], "models": [name, "cgcnn-formation-energy"]}
    source, usual = shipped.post("/v1/predictions", json=asked).json()["predictions"]
    assert source["model"]["name"] == name
    assert source["value"] == pytest.approx(usual["value"], abs=0.2)
    assert "has never seen" in source["notes"][0]
    served = {item["key"]: item["models"] for item in shipped.get("/v1/properties").json()["items"]}
    assert {m["name"] for m in served["formation_energy_per_atom"] if not m["only_when_named"]} == {
        "cgcnn-formation-energy", "elemnet-formation-energy",
    }  # fmt: skip


def test_the_newest_shipped_version_is_the_champion(shipped: TestClient) -> None:
    versions = shipped.get("/v1/models/cgcnn-band-gap/versions").json()["items"]
    champion = shipped.get("/v1/models/cgcnn-band-gap/aliases/champion").json()
    assert champion["version"] == max(v["version"] for v in versions) == 2
