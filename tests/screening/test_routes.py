"""The calls under /v1/screenings, on both databases, without a worker."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.core.db import open_session
from app.datasets.service import DatasetService
from app.jobs.service import JobService
from app.registry.manifest import InputKind
from app.screening.examples import EXAMPLES
from app.screening.spec import RESULT_PATH, STRUCTURES_PATH, ScreeningSpec
from tests.bulk.conftest import MAX_ROWS, Service
from tests.bulk.tables import as_csv, rows

URL = "/v1/screenings"
GAP = {"property": "band_gap", "at_least": 1.0}
SALTS = {"kind": "prototypes", "prototypes": ["rocksalt"], "sites": {"A": ["Na", "K", "Mg"], "X": ["Cl", "O"]}}
TINY = {"generator": SALTS, "constraints": [GAP]}


def _post(service: Service, body: Any, expected: int = 201, key: str | None = None) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else None
    response = service.client.post(URL, json=body, headers=headers)
    assert response.status_code == expected, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _spec(service: Service, job_id: str) -> ScreeningSpec:
    with open_session(service.sessions, read_only=True) as session:
        return ScreeningSpec.model_validate(JobService(session, service.settings.jobs).get(job_id).spec)


def test_a_generator_becomes_a_job_with_one_model_for_each_property(service: Service) -> None:
    objective = {"property": "formation_energy_per_atom", "goal": "minimise"}
    job = _post(service, {**TINY, "objectives": [objective], "count": 7})
    assert (job["status"], job["input"], job["counts"], job["error"]) == ("queued", None, None, None)
    assert job["generator"]["sites"] == SALTS["sites"] and not service.queue.is_empty()
    assert [(m["name"], m["property"], m["unit"]) for m in job["models"]] == [
        ("gaps", "band_gap", "eV"), ("energies", "formation_energy_per_atom", "eV/atom"),
    ]  # fmt: skip
    assert (job["wish"]["count"], job["wish"]["in_domain"], job["wish"]["constraints"][0]["at_least"]) == (7, True, 1.0)
    assert job["progress"]["total"] == 3  # NaCl, KCl, MgO
    assert service.client.get(f"{URL}/{job['id']}").json() == job
    assert [entry["id"] for entry in service.client.get(URL).json()["items"]] == [job["id"]]
    assert service.client.get("/v1/bulk-predictions").json()["items"] == []
    assert service.client.get(f"/v1/bulk-predictions/{job['id']}").status_code == 404
    events = service.client.get(f"{URL}/{job['id']}/events").json()["items"]
    assert [event["data"]["status"] for event in events] == ["validating", "queued"]
    for path in ("results", "structures"):
        assert service.client.get(f"{URL}/{job['id']}/{path}").json()["code"] == "job_not_finished"
    cancelled = service.client.post(f"{URL}/{job['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    again = service.client.post(f"{URL}/{job['id']}/retry").json()
    assert (again["status"], again["wish"], again["generator"]) == ("queued", job["wish"], job["generator"])
    assert _spec(service, again["id"]).predictions.input_path != _spec(service, job["id"]).predictions.input_path


def test_candidates_come_as_a_file_in_the_request_or_from_a_data_set(service: Service) -> None:
    content = as_csv(rows(30))
    wish = json.dumps({"constraints": [GAP], "elements": {"none_of": ["Ti"]}})
    answer = service.client.post(URL, files={"file": ("my.csv", content)}, data={"wish": wish})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["input"]["name"], answer.json()["generator"]) == ("my.csv", None)
    predictions = _spec(service, answer.json()["id"]).predictions
    assert service.store.get(predictions.input_path) == content
    assert predictions.elements is not None and predictions.elements.none_of == ("Ti",)
    energy = [{"property": "formation_energy_per_atom", "goal": "minimise"}]
    listed = _post(service, {"candidates": [{"composition": "NaCl"}, {"composition": "KCl"}], "objectives": energy})
    assert [m["name"] for m in listed["models"]] == ["formulas"]
    stored = service.store.get(_spec(service, listed["id"]).predictions.input_path).splitlines()
    assert json.loads(stored[1]) == {"id": "1", "composition": "KCl"}
    text = "id,composition,k_vrh\n" + "".join(f"r{i},Na{i + 1}Cl,{i + 1}\n" for i in range(25))
    with open_session(service.sessions) as session:
        datasets = DatasetService(session, service.store, service.settings)
        dataset_id = datasets.create("d.csv", io.BytesIO(text.encode()), "k_vrh").dataset.id
    job = _post(service, {"dataset_id": dataset_id, "objectives": energy})
    assert (job["input"]["dataset_id"], job["progress"]["total"]) == (dataset_id, 25)


def test_of_several_models_one_is_to_be_named(service: Service) -> None:
    service.add_model("other-gaps", "band_gap")
    problem = _post(service, TINY, 422)
    assert problem["code"] == "invalid_request" and "other-gaps/1" in problem["detail"]
    job = _post(service, {**TINY, "models": ["other-gaps"], "properties": ["formation_energy_per_atom"]})
    assert [m["name"] for m in job["models"]] == ["other-gaps", "energies"]
    service.add_model("moduli", "k_vrh")
    problem = _post(service, {"generator": SALTS, "constraints": [{"property": "k_vrh", "at_least": -1}]}, 422)
    assert "logarithm" in problem["detail"]
    solution = {"kind": "solid_solution", "ends": ["NaCl", "KCl"], "steps": 4}
    assert _post(service, {"generator": solution, "constraints": [GAP]}, 422)["code"] == "input_kind_mismatch"
    service.add_model("composition-gaps", "band_gap", InputKind.COMPOSITION)
    assert _post(service, {"generator": solution, "constraints": [GAP]})["models"][0]["name"] == "composition-gaps"


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"generator": None}, 422, "invalid_request", "exactly one"),
        ({"dataset_id": "ds_1"}, 422, "invalid_request", "exactly one"),
        ({"constraints": []}, 422, "invalid_request", "nothing is looked for"),
        ({"constraints": [{"property": "band_gap"}]}, 422, "invalid_request", "at_least"),
        ({"constraints": [{**GAP, "at_most": 0.5}]}, 422, "invalid_request", "cannot be"),
        ({"constraints": [GAP, GAP]}, 422, "invalid_request", "one property"),
        ({"constraints": [{**GAP, "property": "colour"}]}, 404, "property_not_found", "colour"),
        ({"constraints": [{**GAP, "property": "k_vrh"}]}, 404, "model_not_found", "bulk modulus"),
        ({"models": ["nope"]}, 404, "model_not_found", "nope"),
        ({"rank_by": "pareto"}, 422, "invalid_request", "pareto"),
        ({"rank_by": "objective"}, 422, "invalid_request", "objective"),
        ({"objectives": [{"property": "band_gap", "goal": "target"}]}, 422, "invalid_request", "target"),
        ({"elements": {"all_of": ["Xx"]}}, 422, "invalid_request", "Xx"),
        ({"elements": {"all_of": ["Fe"]}}, 422, "invalid_request", "no candidate"),
        ({"colour": 1}, 422, "invalid_request", "colour"),
        ({"generator": {"kind": "prototypes", "prototypes": ["spinel"]}}, 422, "too_many_inputs", f"{MAX_ROWS}"),
        ({"generator": {"kind": "magic"}}, 422, "invalid_request", "magic"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_kept(
    service: Service, change: dict[str, Any], status: int, code: str, words: str
) -> None:
    problem = _post(service, {**TINY, **change}, status)
    assert problem["code"] == code and words in json.dumps(problem), problem
    assert service.client.get(URL).json()["items"] == [] and service.queue.is_empty()
    assert service.store.list("bulk") == []


def test_files_and_wishes_that_do_not_fit_are_refused(service: Service) -> None:
    content = as_csv(rows(5))
    for data, words in (({}, "wish"), ({"wish": "{"}, "JSON"), ({"wish": "{}"}, "nothing is looked for")):
        answer = service.client.post(URL, files={"file": ("x.csv", content)}, data=data)
        assert answer.status_code == 422 and words in answer.text, answer.text
    mixed = {"candidates": [{"composition": "NaCl"}, {"cif": "data_x"}], "constraints": [GAP]}
    assert "apart" in _post(service, mixed, 422)["detail"]
    twice = {"candidates": [{"id": "a", "composition": "NaCl"}] * 2, "constraints": [GAP]}
    assert "unique" in _post(service, twice, 422)["detail"]


def test_an_idempotency_key_makes_one_job(service: Service) -> None:
    first = _post(service, TINY, key="k")
    assert _post(service, TINY, key="k")["id"] == first["id"]
    assert _post(service, {**TINY, "count": 3}, 409, key="k")["code"] == "idempotency_conflict"
    hook = {"url": "https://hooks.example.org/mine"}
    assert _post(service, {**TINY, "webhook": hook}, 409, key="k")["code"] == "idempotency_conflict"
    listed = {"candidates": [{"composition": "NaCl"}], "properties": ["formation_energy_per_atom"]}
    assert _post(service, listed, key="l")["id"] == _post(service, listed, key="l")["id"]
    assert len(service.store.list("bulk")) == 1


def test_results_are_sent_in_every_format_until_they_are_deleted(service: Service, tmp_path: Path) -> None:
    import pyarrow as pa

    job_id = _post(service, TINY)["id"]
    table = pa.table({"rank": pa.array([1, None]), "input_id": ["a", "b"], "band_gap [eV]": [1.5, 0.25]})
    pq.write_table(table, tmp_path / "t.parquet")
    prefix = _spec(service, job_id).predictions.parts_prefix
    service.store.put_new(f"{prefix}/t", (tmp_path / "t.parquet").read_bytes())
    counts = dict.fromkeys(
        ("selected", "not_selected", "failed_constraints", "out_of_domain", "filtered", "errors"), 0
    ) | {"candidates": 2, "selected": 1, "not_selected": 1}
    with open_session(service.sessions) as session:
        jobs = JobService(session, service.settings.jobs)
        token = jobs.claim(job_id, "w")
        assert token is not None
        jobs.succeed(job_id, token, {"counts": counts, RESULT_PATH: f"{prefix}/t", STRUCTURES_PATH: None})
    assert service.client.get(f"{URL}/{job_id}").json()["counts"] == counts
    results = f"{URL}/{job_id}/results"
    assert service.client.get(results).text == 'rank,input_id,band_gap [eV]\n1,"a",1.5\n'
    lines = service.client.get(f"{results}?format=jsonl&scope=all").text.splitlines()
    assert [json.loads(line)["rank"] for line in lines] == [1, None]
    parquet = service.client.get(f"{results}?format=parquet&scope=all")
    assert pq.read_table(io.BytesIO(parquet.content)).to_pylist() == table.to_pylist()
    assert service.client.get(f"{URL}/{job_id}/structures").json()["code"] == "input_kind_mismatch"
    assert service.client.delete(f"{URL}/{job_id}").status_code == 204
    assert service.client.get(results).json()["code"] == "results_deleted"
    assert service.client.get(f"{URL}/{job_id}").json()["results_deleted_at"] is not None
    assert service.store.list("bulk") == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_documentation_are_taken(service: Service, name: str) -> None:
    assert _post(service, EXAMPLES[name]["value"])["status"] == "queued"
