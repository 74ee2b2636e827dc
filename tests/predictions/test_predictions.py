"""POST /v1/predictions: who answers, what fails, in which words."""

import json
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.predictions.examples import DIAMOND_POSCAR, NACL_CIF, REQUEST_EXAMPLES
from app.predictions.queue import PredictionQueue
from tests.concurrency import run_at_once
from tests.predictions.conftest import MAX_INPUTS
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, GAP_MODEL

URL = "/v1/predictions"
SALT = {"id": "salt", "cif": NACL_CIF}
TITANATE = {"id": "sto", "composition": "SrTiO3"}


def _ask(client: TestClient, *inputs: dict[str, Any], **selection: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(URL, json={"inputs": list(inputs), **selection})
    body: dict[str, Any] = answer.json()
    return answer.status_code, body


def _answered_by(body: dict[str, Any]) -> set[tuple[str, str]]:
    return {(p["input_id"], p["model"]["name"]) for p in body["predictions"]}


def test_every_champion_that_fits_answers(client: TestClient) -> None:
    status, body = _ask(client, SALT, TITANATE)
    assert status == 200 and body["errors"] == []
    assert _answered_by(body) == {("salt", ENERGY_MODEL), ("salt", GAP_MODEL), ("sto", COMPOSITION_MODEL)}
    first = body["predictions"][0]
    assert set(first) == {
        "input_id", "property", "value", "unit", "definition", "model", "interval", "domain", "neighbours", "notes",
    }  # fmt: skip
    assert set(first["model"]) == {"name", "version", "sha256"} and len(first["model"]["sha256"]) == 64
    assert {p["property"]: p["unit"] for p in body["predictions"]} == {
        "formation_energy_per_atom": "eV/atom",
        "band_gap": "eV",
    }


def test_bad_inputs_do_not_spoil_the_good(client: TestClient) -> None:
    status, body = _ask(client, SALT, {"id": "bad", "composition": "Xx2O"}, {"id": "worse", "cif": "hello"})
    assert status == 200
    assert {p["input_id"] for p in body["predictions"]} == {"salt"}
    assert {(e["input_id"], e["code"]) for e in body["errors"]} == {
        ("bad", "invalid_composition"),
        ("worse", "unparsable_structure"),
    }
    assert all(e["model"] is None for e in body["errors"])


def test_the_same_crystal_gets_the_same_number_in_any_company(client: TestClient) -> None:
    alone = _ask(client, SALT, models=[ENERGY_MODEL])[1]["predictions"][0]["value"]
    others = [{"id": f"{i}", "poscar": DIAMOND_POSCAR} for i in range(3)]
    together = _ask(client, *others, SALT, models=[ENERGY_MODEL])[1]["predictions"]
    assert [p["value"] for p in together if p["input_id"] == "salt"] == [pytest.approx(alone, abs=1e-5)]


def test_properties_choose_their_champions(client: TestClient) -> None:
    body = _ask(client, SALT, properties=["band_gap"])[1]
    assert _answered_by(body) == {("salt", GAP_MODEL)}


@pytest.mark.parametrize("reference", [ENERGY_MODEL, f"{ENERGY_MODEL}@champion", f"{ENERGY_MODEL}/1"])
def test_models_are_named_in_three_ways(client: TestClient, reference: str) -> None:
    body = _ask(client, SALT, models=[reference, ENERGY_MODEL])[1]
    assert [p["model"]["version"] for p in body["predictions"]] == [1]


def test_a_structure_is_reduced_to_its_composition_only_on_request(client: TestClient) -> None:
    status, body = _ask(client, SALT, models=[COMPOSITION_MODEL])
    assert status == 200
    by_formula = _ask(client, {"composition": "NaCl"}, models=[COMPOSITION_MODEL])[1]["predictions"][0]["value"]
    assert body["predictions"][0]["value"] == pytest.approx(by_formula, abs=1e-6)
    assert "only the composition was used" in body["predictions"][0]["notes"][0]


def test_a_composition_is_not_enough_for_a_structure_model(client: TestClient) -> None:
    status, body = _ask(client, TITANATE, models=[ENERGY_MODEL])
    assert (status, body["code"]) == (422, "input_kind_mismatch")
    status, body = _ask(client, TITANATE, properties=["band_gap"])
    assert (status, body["code"]) == (422, "input_kind_mismatch")
    status, body = _ask(client, TITANATE, models=[ENERGY_MODEL, COMPOSITION_MODEL])
    assert status == 200 and body["errors"][0]["model"]["name"] == ENERGY_MODEL


@pytest.mark.parametrize(
    ("selection", "code"),
    [
        ({"models": ["nope"]}, "model_not_found"),
        ({"models": [f"{ENERGY_MODEL}/99"]}, "model_version_not_found"),
        ({"models": [f"{ENERGY_MODEL}@nobody"]}, "alias_not_found"),
        ({"properties": ["colour"]}, "property_not_found"),
        ({"properties": ["k_vrh"]}, "model_not_found"),
    ],
)
def test_what_is_not_there_is_404(client: TestClient, selection: dict[str, Any], code: str) -> None:
    status, body = _ask(client, SALT, **selection)
    assert (status, body["code"]) == (404, code)


def test_one_cause_keeps_its_code_and_several_do_not(client: TestClient) -> None:
    status, body = _ask(client, {"cif": "hello"}, {"cif": "bye"})
    assert status == 422 and body["code"] == "unparsable_structure" and len(body["errors"]) == 2
    status, body = _ask(client, {"cif": "hello"}, {"composition": "Xx"})
    assert status == 422 and body["code"] == "no_usable_input" and len(body["errors"]) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [{}]},
        {"inputs": [{"cif": "x", "composition": "NaCl"}]},
        {"inputs": [{"composition": 3}]},
        {"inputs": [{"composition": "NaCl", "typo": 1}]},
        {"inputs": [{"id": "", "composition": "NaCl"}]},
        {"inputs": [{"composition": "NaCl"}], "models": []},
        {"inputs": [{"composition": "NaCl"}], "models": ["a"], "properties": ["band_gap"]},
        {"inputs": [{"id": "a", "composition": "NaCl"}, {"id": "a", "composition": "KCl"}]},
        {"inputs": [{"composition": "NaCl"}, {"id": "0", "composition": "KCl"}]},
        {"inputs": [{"id": "\ud800", "composition": "NaCl"}]},
        {"inputs": [{"composition": "NaCl"}], "models": ["\ud800"]},
        [],
        None,
    ],
)
def test_malformed_requests(client: TestClient, body: Any) -> None:
    answer = client.post(URL, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_request", "invalid_name")


@pytest.mark.parametrize(
    "given",
    [
        {"structure": {}},
        {"structure": {"\ud800": "\ud800"}},
        {"structure": {"sites": "\ud800", "lattice": {"matrix": "\ud800"}}},
        {"structure": {"lattice": {"matrix": [[1e308] * 3] * 3}, "sites": []}},
        {"structure": {"lattice": {"matrix": []}, "sites": [{"species": [{"element": "\ud800"}]}]}},
        {"composition": ""},
        {"composition": "\0"},
        {"composition": "Na" * 100_000},
        {"composition": "(" * 100_000},
        {"cif": "data_\0"},
        {"poscar": "a\n1e999\n"},
    ],
)  # fmt: skip
def test_hostile_inputs_get_a_reason(client: TestClient, given: dict[str, Any]) -> None:
    body = json.dumps({"inputs": [given, {"id": "good", "composition": "NaCl"}]})
    answer = client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        assert [e["input_id"] for e in answer.json()["errors"]] == ["0"]
        assert len(answer.json()["errors"][0]["detail"]) < 1000


def test_too_many_inputs(client: TestClient) -> None:
    status, body = _ask(client, *({"composition": "NaCl"} for _ in range(MAX_INPUTS + 1)))
    assert (status, body["code"]) == (422, "too_many_inputs")
    blocks = "\n".join(NACL_CIF.replace("data_NaCl", f"data_{i}") for i in range(MAX_INPUTS + 1))
    status, body = _ask(client, {"cif": blocks})
    assert (status, body["code"]) == (422, "too_many_inputs")


def test_each_block_of_a_cif_is_an_input(client: TestClient) -> None:
    two = NACL_CIF + NACL_CIF.replace("data_NaCl", "data_again").replace("5.6402", "5.70")
    body = _ask(client, {"id": "file", "cif": two}, models=[ENERGY_MODEL])[1]
    assert [p["input_id"] for p in body["predictions"]] == ["file#NaCl", "file#again"]


def test_elements_outside_the_training_data_are_named(client: TestClient) -> None:
    body = _ask(client, {"composition": "UO2"}, {"composition": "CaO"})[1]
    by_id = {p["input_id"]: p["domain"] for p in body["predictions"]}
    assert by_id["0"]["in_domain"] is False and "U not in the training data" in by_id["0"]["reason"]
    assert by_id["1"]["in_domain"] is True and 0 < by_id["1"]["score"] <= 1


def test_what_was_assumed_is_said(client: TestClient) -> None:
    body = _ask(client, {"composition": "D2O"})[1]
    assert any("deuterium" in note.lower() for note in body["predictions"][0]["notes"])


@pytest.mark.parametrize("name", list(REQUEST_EXAMPLES))
def test_the_documented_examples_work(client: TestClient, name: str) -> None:
    answer = client.post(URL, json=REQUEST_EXAMPLES[name]["value"])
    assert answer.status_code == 200 and answer.json()["predictions"] and not answer.json()["errors"]


def test_the_catalogue_names_its_models(client: TestClient) -> None:
    items = {item["key"]: item for item in client.get("/v1/properties").json()["items"]}
    assert items["k_vrh"]["unit"] == "GPa" and items["k_vrh"]["models"] == []
    served = {model["name"] for model in items["formation_energy_per_atom"]["models"]}
    assert served == {ENERGY_MODEL, COMPOSITION_MODEL}


def test_halves_of_characters_are_refused_and_never_echoed(client: TestClient) -> None:
    block = NACL_CIF.replace("data_NaCl", "data_\ud800")
    answer = client.post(
        URL,
        content=json.dumps({"inputs": [SALT, {"id": "bad", "cif": block + block}]}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    assert [(e["input_id"], e["code"]) for e in answer.json()["errors"]] == [("bad", "unparsable_structure")]


def test_a_full_queue_is_429(client: TestClient) -> None:
    queue: PredictionQueue = client.app.state.resources.get(PredictionQueue)  # type: ignore[attr-defined]
    release = Event()
    assert client.portal is not None
    held = client.portal.start_task_soon(queue.run, lambda: release.wait(30), 10**6)
    try:
        for answer in (
            client.post(URL, json={"inputs": [SALT]}),
            client.post(f"{URL}/upload", files={"files": ("a.cif", NACL_CIF)}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
            assert int(answer.headers["Retry-After"]) > 0
    finally:
        release.set()
    assert held.result(30)
    assert client.post(URL, json={"inputs": [SALT]}).status_code == 200


def test_requests_at_the_same_time_get_what_each_gets_alone(client: TestClient) -> None:
    cifs = [NACL_CIF.replace("5.6402", f"{5.2 + 0.01 * i:.4f}") for i in range(24)]
    asked = [{"inputs": [{"id": str(i), "cif": cif}]} for i, cif in enumerate(cifs)]
    asked += [{"inputs": [{"id": "bad", "cif": "hello"}]}] * 4

    def values(body: dict[str, Any]) -> list[float] | str:
        answer = client.post(URL, json=body).json()
        return [p["value"] for p in answer["predictions"]] if "predictions" in answer else answer["code"]

    together = run_at_once(values, asked)
    for body, value in zip(asked, together, strict=True):
        alone = values(body)
        assert value == (alone if isinstance(alone, str) else pytest.approx(alone, abs=1e-5))


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/problem+json"])
def test_json_by_other_names_is_taken_too(client: TestClient, content_type: str) -> None:
    content = json.dumps({"inputs": [SALT]})
    answer = client.post(URL, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"


def test_a_misspelt_parameter_is_refused(client: TestClient) -> None:
    answer = client.post(f"{URL}?model=x", json={"inputs": [SALT]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_small_text_of_a_large_crystal_is_answered_all_the_same(client: TestClient) -> None:
    large = NACL_CIF.replace("5.6402", "25").replace("Na 0 0 0", "Na 0.06 0.11 0.19")
    large = large.replace("Cl 0.5 0.5 0.5", "Cl 0.13 0.24 0.37")
    body = _ask(client, {"id": "large", "cif": large})[1]
    assert [p["input_id"] for p in body["predictions"]] == ["large", "large"]
