"""POST /v1/suggestions: what is suggested, what is set aside, what is refused and in which words."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.suggestions import candidates
from app.suggestions.examples import SUGGESTION_EXAMPLES
from tests.crystals import rocksalt
from tests.suggestions.conftest import MAX_INPUTS, UNCALIBRATED
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, salts
from tests.workers.conftest import poscar

URL = "/v1/suggestions"
REDUCED = {
    "SrTiO3": "O3SrTi", "BaZrO3": "BaO3Zr", "KNbO3": "KNbO3", "Li0.5CoO2": "Co2LiO4", "NaCl2": "Cl2Na",
    "Ca(OH)2": "CaH2O2",
}  # fmt: skip
FORMULAS = tuple(REDUCED)


def compositions(*formulas: str) -> list[dict[str, Any]]:
    return [{"id": formula, "composition": formula} for formula in formulas]


def ask(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    defaults = {"model": COMPOSITION_MODEL, "candidates": compositions(*FORMULAS)}
    sent = {name: value for name, value in {**defaults, **body}.items() if value is not None}
    answer = client.post(URL, json=sent)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [each["input_id"] for each in answer["suggestions"]]


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({}, "speaks for"),
        ({"strategy": "uncertainty"}, "expected error"),
        ({"strategy": "diversity"}, "training row"),
        ({"strategy": "target", "target": {"above": 1.0}}, "above 1 eV/atom with a probability of"),
        ({"strategy": "target", "target": {"above": 1.0, "below": 2.0}}, "above 1 eV/atom and below 2 eV/atom"),
        ({"strategy": "target", "target": {"optimum": "lowest"}}, "improve on the lowest training label"),
    ],
)
def test_each_strategy_ranks_and_says_why(client: TestClient, wish: dict[str, Any], word: str) -> None:
    answer = ask(client, count=4, **wish)
    assert answer["n_ranked"] == len(FORMULAS) and answer["errors"] == answer["set_aside"] == []
    assert [each["rank"] for each in answer["suggestions"]] == [1, 2, 3, 4] and len(set(ids(answer))) == 4
    assert answer["model"]["name"] == COMPOSITION_MODEL and answer["score_meaning"]
    for each in answer["suggestions"]:
        assert word in each["reason"]
        assert each["prediction"]["input_id"] == each["input_id"] and each["prediction"]["unit"] == "eV/atom"
    assert {each["input_id"]: each["formula"] for each in answer["suggestions"]}.items() <= REDUCED.items()
    assert ask(client, count=4, **wish) == answer


def test_values_are_those_of_predictions(client: TestClient) -> None:
    wanted = {"models": [COMPOSITION_MODEL], "interval_level": 0.6}
    predicted = client.post("/v1/predictions", json={"inputs": compositions(*FORMULAS), **wanted}).json()["predictions"]
    suggested = ask(client, interval_level=0.6)["suggestions"]
    by_id = {each["input_id"]: each["prediction"] for each in suggested}
    for each in predicted:
        found = by_id[each["input_id"]]
        assert found["value"] == pytest.approx(each["value"]) and found["interval"]["level"] == 0.6
        assert found["domain"]["reason"] == each["domain"]["reason"]


def test_the_same_composition_is_suggested_once(client: TestClient) -> None:
    answer = ask(client, candidates=compositions("SrTiO3", "Sr2Ti2O6", "TiSrO3", "BaZrO3"))
    assert sorted(ids(answer)) == ["BaZrO3", "SrTiO3"] and answer["n_ranked"] == 2
    assert [(each["input_id"], each["code"]) for each in answer["set_aside"]] == [
        ("Sr2Ti2O6", "repeats_candidate"),
        ("TiSrO3", "repeats_candidate"),
    ]
    assert "SrTiO3" in answer["set_aside"][0]["detail"]


def test_polymorphs_are_different_to_a_model_that_sees_structures(client: TestClient) -> None:
    cells = {"small": 5.0, "large": 9.0, "small again": 5.0}
    given = [{"id": name, "poscar": poscar(rocksalt(a, "Rb", "Br"))} for name, a in cells.items()]
    assert sorted(ids(ask(client, model=ENERGY_MODEL, candidates=given))) == ["large", "small"]
    # To one that reads compositions they are all the same.
    answer = ask(client, candidates=given)
    assert ids(answer) == ["small"] and len(answer["set_aside"]) == 2


def test_rows_with_labels_are_set_aside(client: TestClient, known_formulas: tuple[list[str], list[str]]) -> None:
    trained, held_out = known_formulas
    given = [{"id": c.reduced_formula, "poscar": poscar(c)} for c in salts()]
    stranger = {"id": "stranger", "poscar": poscar(rocksalt(9.0, "Rb", "Br"))}
    answer = ask(client, model=ENERGY_MODEL, candidates=[*given, stranger], count=100)
    codes = {each["input_id"]: each["code"] for each in answer["set_aside"]}
    assert codes == {**dict.fromkeys(trained, "in_training_data"), **dict.fromkeys(held_out, "in_held_out_data")}
    assert len(codes) == len(given) and trained and held_out
    assert ids(answer) == ["stranger"]
    assert any("is a validation or test row of the model" in each["detail"] for each in answer["set_aside"])


def test_what_cannot_be_read_does_not_spoil_the_rest(client: TestClient) -> None:
    given = [*compositions("SrTiO3", "Xx2"), {"id": "broken", "cif": "hello"}]
    answer = ask(client, candidates=given)
    assert ids(answer) == ["SrTiO3"]
    assert {each["input_id"] for each in answer["errors"]} == {"Xx2", "broken"}
    assert ask(client, 422, candidates=compositions("Xx2"))["code"] == "invalid_composition"


def test_rows_of_a_data_set_are_candidates(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "\n".join(
        f"{formula}{n},{n}" for n in range(2, 6) for formula in ("NaCl", "KBr", "LiF", "MgO", "CaS", "SrO")
    )
    uploaded = client.post(
        "/v1/datasets", files={"file": ("gaps.csv", f"composition,band_gap\n{rows}")}, data={"property": "band_gap"}
    )
    assert uploaded.status_code == 201, uploaded.text
    dataset_id = uploaded.json()["id"]
    answer = ask(client, candidates=None, dataset_id=dataset_id, count=5)
    assert len(ids(answer)) == 5 and answer["n_ranked"] == 24
    assert answer["suggestions"][0]["prediction"]["property"] == "formation_energy_per_atom"
    monkeypatch.setattr(candidates, "MAX_DATASET_CANDIDATES", 23)
    refused = ask(client, 422, candidates=None, dataset_id=dataset_id)
    assert refused["code"] == "too_many_inputs" and "24 rows" in refused["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"model": "nope"}, 404, "model_not_found", "nope"),
        ({"model": f"{COMPOSITION_MODEL}/9"}, 404, "model_version_not_found", "9"),
        ({"model": None}, 422, "invalid_request", "model"),
        ({"model": UNCALIBRATED}, 422, "model_not_calibrated", "carries no intervals"),
        ({"candidates": None}, 422, "invalid_request", "exactly one of"),
        ({"candidates": []}, 422, "invalid_request", "candidates"),
        ({"dataset_id": "ds_1"}, 422, "invalid_request", "exactly one of"),
        ({"candidates": None, "dataset_id": "ds_1"}, 404, "dataset_not_found", "ds_1"),
        ({"candidates": compositions("NaCl", "NaCl")}, 422, "invalid_request", "unique"),
        ({"candidates": [{"composition": "NaCl"}] * (MAX_INPUTS + 1)}, 422, "too_many_inputs", "41"),
        ({"model": ENERGY_MODEL}, 422, "input_kind_mismatch", "structures"),
        ({"count": 0}, 422, "invalid_request", "count"),
        ({"count": 501}, 422, "invalid_request", "count"),
        ({"strategy": "best"}, 422, "invalid_request", "uncertainty"),
        ({"strategy": "target"}, 422, "invalid_request", "belong together"),
        ({"target": {"above": 1.0}}, 422, "invalid_request", "belong together"),
        ({"strategy": "target", "target": {}}, 422, "invalid_request", "optimum"),
        ({"strategy": "target", "target": {"above": 2, "below": 1}}, 422, "invalid_request", "nothing lies"),
        ({"strategy": "target", "target": {"above": 2, "optimum": "highest"}}, 422, "invalid_request", "or else"),
        ({"interval_level": 0.2}, 422, "invalid_request", "interval_level"),
        ({"k": 3}, 422, "invalid_request", "k"),
    ],
)
def test_refusals_name_their_cause(
    client: TestClient, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    problem = ask(client, status, **body)
    assert problem["code"] == code and words in problem["detail"]


@pytest.mark.parametrize("name", SUGGESTION_EXAMPLES)
def test_the_examples_of_the_documentation_work(client: TestClient, name: str) -> None:
    answer = client.post(URL, json=SUGGESTION_EXAMPLES[name]["value"])
    assert answer.status_code == 200 and len(answer.json()["suggestions"]) == 3


def test_the_documentation_says_what_is_what(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"][URL]["post"]
    assert {"200", "404", "413", "422", "429", "500"} <= set(operation["responses"])
    assert set(operation["requestBody"]["content"]["application/json"]["examples"]) == set(SUGGESTION_EXAMPLES)
