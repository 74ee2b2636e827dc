"""The models that ship, served: which answer what, in which unit, with which warning."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

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


def test_a_composition_gets_the_composition_models(shipped: TestClient) -> None:
    body = shipped.post("/v1/predictions", json={"inputs": [{"composition": "SrTiO3"}]}).json()
    answers = {each["model"]["name"]: each for each in body["predictions"]}
    assert answers.keys() == {"elemnet-formation-energy", "elemnet-band-gap"}
    assert answers["elemnet-formation-energy"]["value"] == pytest.approx(-3.45, abs=0.2)
    assert answers["elemnet-band-gap"]["value"] == pytest.approx(1.8, abs=0.3)
    assert "polymorphs differ" in answers["elemnet-band-gap"]["notes"][0]


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
    assert champion["version"] == max(v["version"] for v in versions) == 3


def test_answers_tell_how_far_they_can_be_trusted(shipped: TestClient) -> None:
    asked = {
        "inputs": [{"cif": NACL_CIF}], "models": ["cgcnn-band-gap"], "interval_level": 0.8, "neighbours": 3,
    }  # fmt: skip
    (salt,) = shipped.post("/v1/predictions", json=asked).json()["predictions"]
    assert salt["interval"]["level"] == 0.8
    assert salt["interval"]["lower"] < salt["value"] < salt["interval"]["upper"]
    assert salt["domain"]["in_domain"] is True and 0 < salt["domain"]["score"] < 1
    distances = [row["distance"] for row in salt["neighbours"]]
    assert len(distances) == 3 and distances == sorted(distances)
    wider = shipped.post("/v1/predictions", json={**asked, "interval_level": 0.95}).json()["predictions"][0]
    assert (
        wider["interval"]["lower"] < salt["interval"]["lower"] < salt["interval"]["upper"] < wider["interval"]["upper"]
    )
    for level in (0.2, 0.999):
        assert shipped.post("/v1/predictions", json={**asked, "interval_level": level}).status_code == 422
    plain = {"inputs": asked["inputs"], "models": asked["models"]}
    (unasked,) = shipped.post("/v1/predictions", json=plain).json()["predictions"]
    assert unasked["interval"]["level"] == 0.9 and unasked["interval"]["lower"] >= 0 and unasked["neighbours"] is None


def test_uploads_choose_the_level_too(shipped: TestClient) -> None:
    files = {"files": ("NaCl.cif", NACL_CIF)}
    query = {"models": "cgcnn-formation-energy/2", "interval_level": 0.7, "neighbours": 1}
    (salt,) = shipped.post("/v1/predictions/upload", files=files, params=query).json()["predictions"]
    assert salt["interval"]["level"] == 0.7 and len(salt["neighbours"]) == 1


def test_the_version_before_has_no_interval(shipped: TestClient) -> None:
    asked = {"inputs": [{"cif": NACL_CIF}], "models": ["cgcnn-formation-energy/1", "cgcnn-formation-energy/2"]}
    before, after = shipped.post("/v1/predictions", json=asked).json()["predictions"]
    assert before["value"] == after["value"]
    assert before["interval"] is None and before["domain"] is None and after["interval"] is not None


def test_an_export_holds_all_files(shipped: TestClient) -> None:
    archive = zipfile.ZipFile(io.BytesIO(shipped.get("/v1/models/cgcnn-formation-energy/versions/2/download").content))
    names = {Path(name).name for name in archive.namelist()}
    assert names == {"manifest.json", "weights.safetensors", "MODEL_CARD.md", "trust.safetensors"}


def test_the_card_for_programs_tells_coverage_and_how_to_repeat_it(shipped: TestClient) -> None:
    path = "/v1/models/cgcnn-formation-energy/versions/2/card"
    card = shipped.get(path, headers={"Accept": "application/json"}).json()
    assert 0.88 < card["trust"]["coverage"]["share"] < 0.92 and len(card["trust"]["families"]) == 6
    assert card["training"]["licence"].startswith("CC BY") and card["training"]["command"].startswith("xtalforge")
    assert "## Trust" in card["markdown"] and card["version"]["parent"]["version"] == 1
