"""Feature vectors over HTTP."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.predictions.examples import NACL_CIF

ENERGY, SCHNET = "cgcnn-formation-energy", "schnet-formation-energy-no-tmo"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


def test_vectors_come_with_the_model_that_made_them(client: TestClient) -> None:
    inputs = [
        {"id": "salt", "cif": NACL_CIF},
        {"id": "junk", "cif": "no CIF"},
        {"id": "formula", "composition": "NaCl"},
    ]
    answer = client.post("/v1/embeddings", json={"inputs": inputs, "model": ENERGY}).json()
    assert answer["model"]["name"] == ENERGY and answer["dimension"] == 96
    (salt,) = answer["embeddings"]
    assert salt["input_id"] == "salt" and len(salt["vector"]) == 96 and salt["atoms"] is None
    assert {e["input_id"]: e["code"] for e in answer["errors"]} == {
        "junk": "unparsable_structure", "formula": "input_kind_mismatch",
    }  # fmt: skip


def test_a_composition_model_embeds_structures_too(client: TestClient) -> None:
    inputs = [{"cif": NACL_CIF}, {"composition": "NaCl"}]
    answer = client.post("/v1/embeddings", json={"inputs": inputs, "model": "elemnet-formation-energy"}).json()
    by_structure, by_formula = (each["vector"] for each in answer["embeddings"])
    assert by_structure == pytest.approx(by_formula, abs=1e-5) and answer["dimension"] == 224


def test_what_atoms_add_makes_the_value(client: TestClient) -> None:
    asked = {"inputs": [{"cif": NACL_CIF}], "model": SCHNET, "contributions": True}
    (salt,) = client.post("/v1/embeddings", json=asked).json()["embeddings"]
    asked = {"inputs": [{"cif": NACL_CIF}], "models": [SCHNET]}
    (prediction,) = client.post("/v1/predictions", json=asked).json()["predictions"]
    assert {atom["element"] for atom in salt["atoms"]} == {"Na", "Cl"}
    assert sum(atom["share"] for atom in salt["atoms"]) == pytest.approx(1.0)
    total = sum(atom["share"] * atom["contribution"] for atom in salt["atoms"])
    assert total == pytest.approx(prediction["value"], abs=1e-5)


def test_requests_that_cannot_be_answered_say_why(client: TestClient) -> None:
    def refused(**request: object) -> tuple[int, str]:
        answer = client.post("/v1/embeddings", json=request)
        return answer.status_code, answer.json()["code"]

    salt = [{"cif": NACL_CIF}]
    assert refused(inputs=salt, model=ENERGY, contributions=True) == (422, "no_contributions")
    assert refused(inputs=salt, model=ENERGY, contributions=1) == (422, "invalid_request")
    assert refused(inputs=salt, model="nothing") == (404, "model_not_found")
    assert refused(inputs=[{"cif": "no CIF"}], model=ENERGY) == (422, "unparsable_structure")
    assert refused(inputs=[{"composition": "NaCl"}] * 1001, model=ENERGY)[0] in (413, 422)
    assert client.post("/v1/embeddings", json={"inputs": salt}).status_code == 422
