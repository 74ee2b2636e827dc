"""Structures as they are read, over HTTP, on the whole application without models."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import Settings
from app.main import create_app
from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), models_store=tmp_path_factory.mktemp("models"))
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_whole_cell_comes_back(client: TestClient) -> None:
    inputs = [{"id": "salt", "cif": NACL_CIF}, {"id": "silicon", "poscar": DIAMOND_POSCAR}]
    response = client.post("/v1/structures", json={"inputs": inputs})
    assert response.status_code == 200
    salt, silicon = response.json()["structures"]
    assert (salt["input_id"], salt["formula"], salt["n_sites"]) == ("salt", "ClNa", 8)
    assert salt["elements"] == {"Cl": 4, "Na": 4}
    assert [salt["cell"][key] for key in ("a", "alpha", "gamma")] == [5.6402, 90.0, 90.0]
    assert salt["cell"]["volume"] == pytest.approx(5.6402**3)
    positions = {(site["element"], *site["position"]) for site in salt["sites"]}
    assert {("Na", 0, 0, 0), ("Na", 0, 0.5, 0.5), ("Cl", 0.5, 0.5, 0.5), ("Cl", 0.5, 0, 0)} <= positions
    assert [silicon["cell"][key] for key in ("alpha", "beta", "gamma")] == pytest.approx([60, 60, 60])


def test_what_is_no_structure_is_said_beside_the_others(client: TestClient) -> None:
    inputs = [{"id": "bad", "cif": "data_x\n"}, {"id": "formula", "composition": "NaCl"}, {"id": "ok", "cif": NACL_CIF}]
    answer = client.post("/v1/structures", json={"inputs": inputs}).json()
    assert [each["input_id"] for each in answer["structures"]] == ["ok"]
    told = {each["input_id"]: each["code"] for each in answer["errors"]}
    assert told == {"bad": "no_atoms", "formula": "input_kind_mismatch"}, told


def test_files_are_called_by_their_names(client: TestClient) -> None:
    files = [("files", ("NaCl.cif", NACL_CIF)), ("files", ("POSCAR", DIAMOND_POSCAR)), ("files", ("a.zip", b"PK\3\4"))]
    answer = client.post("/v1/structures/upload", files=files).json()
    assert [each["input_id"] for each in answer["structures"]] == ["NaCl.cif", "POSCAR"]
    assert [each["input_id"] for each in answer["errors"]] == ["a.zip"]
    refused = client.post("/v1/structures", json={"inputs": []})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
