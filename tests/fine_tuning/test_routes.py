import json
import threading
import time
from typing import Any

import pytest
import redis

from app.core.db import open_session
from app.core.tenants import DEFAULT_TENANT
from app.jobs import stream
from app.jobs.kinds import QueueName
from app.jobs.queue import QUEUES, JobQueue
from app.learning.methods import Method
from app.learning.presets import fields_used
from app.registry.manifest import Architecture, PretextRecord
from tests.fine_tuning.conftest import Service

JOBS = "/v1/fine-tuning/jobs"
EPOCH = {"epoch": 1, "max_epochs": 9, "val_mae": 2.5, "best_val_mae": 2.5, "unit": "GPa", "eta_s": 8.0, "stage": ""}


def messages(service: Service) -> int:
    with redis.Redis.from_url(service.broker_url) as broker:
        return int(broker.llen(QUEUES[QueueName.TRAINING]))


def test_methods_name_what_they_fit(service: Service) -> None:
    items = service.client.get("/v1/fine-tuning/methods").json()["items"]
    assert {(m["name"], m["family"]) for m in items} >= {
        ("scratch", "cgcnn"), ("scratch", "schnet"), ("fine_tune", "elemnet"), ("freeze", "elemnet"),
        ("freeze_early", "cgcnn"), ("tl3", "schnet"), ("tlrl_dense", "elemnet_representation"), ("rf", "baseline"),
    }  # fmt: skip
    assert ("freeze_early", "elemnet") not in {(m["name"], m["family"]) for m in items}
    assert all(m["description"] and m["source"] for m in items)
    assert {m["name"] for m in items} == {method.value for method in Method}
    by_name = {m["name"]: m for m in items}
    assert by_name["rl_relu"]["base_family"] == "elemnet" and by_name["lasso"]["base_family"] is None
    assert (by_name["lasso"]["input_kind"], by_name["lasso"]["data_kinds"]) == (
        "composition", ["structure", "composition"]
    )  # fmt: skip
    assert (by_name["soap_krr"]["input_kind"], by_name["soap_krr"]["data_kinds"]) == ("structure", ["structure"])
    assert "layer" in by_name["tlrl_relu"]["hyperparameters"] and "loss" not in by_name["svr"]["hyperparameters"]


def test_a_job_answers_with_every_choice_made(service: Service) -> None:
    service.add_shipped()
    dataset_id = service.add_dataset()
    response = service.client.post(JOBS, json={"dataset_id": dataset_id, "model_name": "mine"})
    assert response.status_code == 201
    job = response.json()
    assert response.headers["Location"] == f"{JOBS}/{job['id']}"
    assert (job["status"], job["method"], job["architecture"], job["seed"]) == ("queued", "fine_tune", "cgcnn", 0)
    # Formation energy is preferred although another model saw more rows.
    assert (job["base_model"]["name"], job["base_model"]["version"]) == ("cgcnn-formation-energy", 1)
    assert len(job["base_model"]["sha256"]) == 64
    assert (job["property"], job["unit"], job["attempts"]) == ("k_vrh", "GPa", 0)
    filled = {name for name, value in job["hyperparameters"].items() if value is not None}
    assert filled == set(fields_used(Architecture.CGCNN, Method.FINE_TUNE))
    assert (job["progress"], job["result"], job["error"]) == (None, None, None)
    assert service.client.get(f"{JOBS}/{job['id']}").json() == job
    assert messages(service) == 1


def test_compositions_start_from_elemnet(service: Service) -> None:
    service.add_shipped()
    job = service.submit(dataset_id=service.add_dataset(input_kind="composition"), model_name="mine")
    assert (job["base_model"]["name"], job["architecture"]) == ("elemnet", "elemnet")


def test_given_hyperparameters_are_kept_and_auto_is_understood(service: Service) -> None:
    service.add_shipped()
    dataset_id = service.add_dataset()
    given = service.submit(dataset_id=dataset_id, model_name="a", hyperparameters={"max_epochs": 7})
    assert given["hyperparameters"]["max_epochs"] == 7
    auto = service.submit(dataset_id=dataset_id, model_name="b", hyperparameters="auto", base_model="auto")
    assert auto["hyperparameters"]["max_epochs"] != 7


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"dataset_id": "ds_nope"}, 404, "dataset_not_found", "ds_nope"),
        ({"dataset_id": "ds_\0"}, 422, "invalid_request", "dataset_id"),
        ({"model_name": "Not A Slug"}, 422, "invalid_request", "model_name"),
        ({"model_name": "../etc"}, 422, "invalid_request", "model_name"),
        ({"model_name": "a" * 65}, 422, "invalid_request", "model_name"),
        ({"method": "magic"}, 422, "invalid_request", "method"),
        ({"hyperparameters": {"batch_size": 0}}, 422, "invalid_request", "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate": -1}}, 422, "invalid_request", "learning_rate"),
        ({"hyperparameters": {"bach_size": 8}}, 422, "invalid_request", "bach_size"),
        ({"hyperparameters": "best"}, 422, "invalid_request", "hyperparameters"),
        ({"seed": -1}, 422, "invalid_request", "seed"),
        ({"seed": 2**40}, 422, "invalid_request", "seed"),
        ({"surprise": 1}, 422, "invalid_request", "surprise"),
        ({"hyperparameters": {"train_fraction": 0.9, "val_fraction": 0.1}}, 422, "invalid_job", "below 1"),
        ({"base_model": "nope"}, 404, "model_not_found", "nope"),
        ({"base_model": "cgcnn-band-gap/9"}, 404, "model_version_not_found", "9"),
        ({"base_model": "cgcnn-band-gap@nope"}, 404, "alias_not_found", "nope"),
        ({"base_model": "elemnet"}, 422, "input_kind_mismatch", "composition"),
        ({"method": "scratch", "base_model": "cgcnn-band-gap"}, 422, "invalid_job", "starts from nothing"),
        ({"model_name": "cgcnn-band-gap"}, 422, "invalid_job", "name of your own"),
        ({"model_name": "others"}, 409, "model_mismatch", "others"),
        ({"method": "freeze_early", "hyperparameters": {"frozen_convolutions": 9}}, 422, "invalid_job", "3 convol"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(
    service: Service, body: dict[str, Any], status: int, code: str, words: str
) -> None:
    service.add_shipped()
    service.add_model("others", "band_gap", source="fine_tuning")
    problem = service.submit(status, **{"dataset_id": service.add_dataset(), "model_name": "mine", **body})
    assert problem["code"] == code
    assert words in problem["detail"], problem["detail"]
    assert service.client.get(JOBS).json()["items"] == []
    assert messages(service) == 0


def test_methods_that_do_not_fit_name_those_that_do(service: Service) -> None:
    service.add_shipped()
    dataset_id = service.add_dataset(input_kind="composition")
    for base in ("auto", "elemnet"):
        problem = service.submit(422, dataset_id=dataset_id, model_name="mine", method="freeze_early", base_model=base)
        assert problem["code"] == "invalid_job"
        assert "fine_tune, freeze, " in problem["detail"] and "tlrl_dense" in problem["detail"]
    problem = service.submit(422, dataset_id=dataset_id, model_name="mine", method="soap_krr")
    assert "On offer: auto, scratch, fine_tune, freeze, rl_relu" in problem["detail"]
    problem = service.submit(422, dataset_id=dataset_id, model_name="mine", method="tl1")
    assert "not offered for data of a composition at all" in problem["detail"]
    # No SchNet is shipped here.
    problem = service.submit(422, dataset_id=service.add_dataset(), model_name="mine", method="tl1")
    assert "want of a pretrained model" in problem["detail"] and "tl1" not in problem["detail"].split("offer")[-1]


@pytest.mark.parametrize(
    ("method", "input_kind", "architecture"),
    [
        ("freeze", "composition", "elemnet"),
        ("tlrl_dense", "composition", "elemnet_representation"),
        ("rl_relu", "composition", "elemnet_representation"),
        ("lasso", "composition", "baseline"),
        ("rf", "structure", "baseline"),
        ("soap_krr", "structure", "baseline"),
        ("automl_pa", "structure", "baseline"),
    ],
)
def test_methods_choose_their_family_and_source(
    service: Service, method: str, input_kind: str, architecture: str
) -> None:
    service.add_shipped()
    job = service.submit(dataset_id=service.add_dataset(input_kind=input_kind), model_name="mine", method=method)
    assert job["architecture"] == architecture
    assert (job["base_model"] or {}).get("name") == (None if architecture == "baseline" else "elemnet")


@pytest.mark.parametrize(
    ("property_key", "method", "base"),
    [
        ("k_vrh", "fine_tune", "cgcnn-denoising"),
        ("last_phdos_peak", "freeze_early", "cgcnn-denoising"),
        ("band_gap_scan", "fine_tune", "cgcnn-band-gap"),
        ("fermi_energy", "fine_tune", "cgcnn-formation-energy"),
    ],
)
def test_a_transfer_starts_from_what_was_measured_to_be_best(
    service: Service, property_key: str, method: str, base: str
) -> None:
    service.add_shipped()
    learned = PretextRecord(
        spread=0.2, hidden_share=0.15, n_train=1000, hyperparameters={}, epochs=20, noise_missed=0.4,
        elements_found=0.5, wall_s=1.0,
    )  # fmt: skip
    service.add_model("cgcnn-denoising", "formation_energy_per_atom", 3000, pretext=learned, only_when_named=True)
    job = service.submit(dataset_id=service.add_dataset(property_key), model_name="mine", method=method)
    assert job["base_model"]["name"] == base


def test_without_the_best_source_a_transfer_starts_from_formation_energy(service: Service) -> None:
    service.add_model("cgcnn-formation-energy", "formation_energy_per_atom", 1000)
    service.add_model("cgcnn-other", "energy_above_hull", 2000)
    job = service.submit(dataset_id=service.add_dataset("band_gap_scan"), model_name="mine", method="fine_tune")
    assert job["base_model"]["name"] == "cgcnn-formation-energy"


def test_networks_by_name(service: Service) -> None:
    crystals, compositions = service.add_dataset(), service.add_dataset(input_kind="composition")
    energies = service.add_dataset("formation_energy_per_atom")

    def ask(dataset_id: str, status: int = 201, **given: Any) -> dict[str, Any]:
        return service.submit(
            status, dataset_id=dataset_id, model_name=f"m-{dataset_id}", method="scratch", hyperparameters=given
        )

    assert ask(crystals)["hyperparameters"]["network"] == "cgcnn"
    small = ask(crystals, network="schnet-2", preset="paper", target="per_atom")
    assert (small["architecture"], small["hyperparameters"]["network"]) == ("schnet", "schnet-2")
    assert (small["hyperparameters"]["optimizer"], small["hyperparameters"]["schedule"]) == ("adam", "plateau")
    assert "elemnet-17" in ask(compositions, 422, network="schnet-1")["detail"]
    assert "per atom" in ask(crystals, 422, network="schnet-1", target="total")["detail"]
    assert ask(energies, network="schnet-1", target="total")["hyperparameters"]["target"] == "total"
    attributes = ask(compositions, features="physical_attributes")
    assert attributes["hyperparameters"]["features"] == "physical_attributes"
    assert "does not use features" in ask(crystals, 422, features="physical_attributes")["detail"]


def test_features_of_baselines(service: Service) -> None:
    crystals, compositions = service.add_dataset(), service.add_dataset(input_kind="composition")

    def ask(dataset_id: str, status: int = 201, **given: Any) -> dict[str, Any]:
        return service.submit(
            status, dataset_id=dataset_id, model_name="mine", method="extra_trees", hyperparameters=given
        )

    assert ask(crystals, features="bonding")["hyperparameters"]["features"] == "bonding"
    # A job that makes a model which reads structures holds the name.
    assert ask(crystals, 409)["code"] == "model_mismatch"
    assert (
        "crystal structures, but this data set holds compositions"
        in ask(compositions, 422, features="bonding")["detail"]
    )


def test_too_many_rows_for_a_kernel_machine_are_refused(service: Service) -> None:
    dataset_id = service.add_dataset(n_rows=20_000)
    problem = service.submit(422, dataset_id=dataset_id, model_name="mine", method="svr")
    assert "16667 rows" in problem["detail"] and "10000" in problem["detail"]


def test_a_model_that_reads_compositions_of_structures_keeps_its_kind(service: Service) -> None:
    dataset_id = service.add_dataset()
    service.submit(dataset_id=dataset_id, model_name="mine", method="lasso")
    clash = service.submit(409, dataset_id=dataset_id, model_name="mine", method="scratch")
    assert clash["code"] == "model_mismatch" and "composition" in clash["detail"]
    service.submit(dataset_id=service.add_dataset(input_kind="composition"), model_name="mine", method="scratch")


def test_too_few_rows_and_no_pretrained_model(service: Service) -> None:
    small = service.submit(422, dataset_id=service.add_dataset(n_rows=9), model_name="mine", method="scratch")
    assert "9 usable rows" in small["detail"]
    bare = service.submit(422, dataset_id=service.add_dataset(), model_name="mine")
    assert "'scratch'" in bare["detail"]
    assert service.submit(dataset_id=service.add_dataset(), model_name="mine", method="scratch")["base_model"] is None


def test_a_key_makes_a_request_repeatable(service: Service) -> None:
    body = {"dataset_id": service.add_dataset(), "model_name": "mine", "method": "scratch"}
    first = service.submit(headers={"Idempotency-Key": "k1"}, **body)
    again = service.submit(headers={"Idempotency-Key": "k1"}, **{**body, "seed": 0})
    assert again["id"] == first["id"]
    problem = service.submit(409, headers={"Idempotency-Key": "k1"}, **{**body, "seed": 1})
    assert problem["code"] == "idempotency_conflict"
    assert service.submit(headers={"Idempotency-Key": "k2"}, **body)["id"] != first["id"]
    assert service.submit(422, headers={"Idempotency-Key": "k" * 300}, **body)["code"] == "invalid_request"


def test_a_job_is_taken_while_the_broker_is_away(service: Service) -> None:
    away = JobQueue("redis://127.0.0.1:1/0")
    resources = service.client.app.state.resources  # type: ignore[attr-defined]
    resources.add(JobQueue, away)
    job = service.submit(dataset_id=service.add_dataset(), model_name="mine", method="scratch")
    assert job["status"] == "queued"
    with open_session(service.sessions) as session:
        assert service.jobs(session).pending_enqueue() == [job["id"]]
    away.close()


def test_lists_come_in_pages_and_by_state(service: Service) -> None:
    dataset_id = service.add_dataset()
    ids = [service.submit(dataset_id=dataset_id, model_name="m", method="scratch", seed=n)["id"] for n in range(5)]
    service.client.post(f"{JOBS}/{ids[1]}/cancel")
    seen, cursor = [], None
    while True:
        page = service.client.get(JOBS, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    cancelled = service.client.get(JOBS, params={"status": "cancelled"}).json()["items"]
    assert [job["id"] for job in cancelled] == [ids[1]]
    for wrong in ("nonsense", "WyJ4IiwieSJd"):
        assert service.client.get(JOBS, params={"cursor": wrong}).json()["code"] == "invalid_request"


def test_pausing_and_going_on(service: Service) -> None:
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]
    for _ in range(2):
        response = service.client.post(f"{JOBS}/{job_id}/pause")
        assert (response.status_code, response.json()["status"]) == (202, "paused")
    sent = messages(service)
    for _ in range(2):
        response = service.client.post(f"{JOBS}/{job_id}/resume")
        assert (response.status_code, response.json()["status"]) == (202, "queued")
    assert messages(service) > sent
    service.client.post(f"{JOBS}/{job_id}/cancel")
    for order, code in (("pause", "job_not_pausable"), ("resume", "job_not_resumable")):
        response = service.client.post(f"{JOBS}/{job_id}/{order}")
        assert (response.status_code, response.json()["code"]) == (409, code)
        assert service.client.post(f"{JOBS}/job_nope/{order}").status_code == 404


def test_trying_again(service: Service) -> None:
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]
    response = service.client.post(f"{JOBS}/{job_id}/retry")
    assert (response.status_code, response.json()["code"]) == (409, "job_not_retryable")
    service.client.post(f"{JOBS}/{job_id}/cancel")
    key = {"Idempotency-Key": "again"}
    again, repeated = (service.client.post(f"{JOBS}/{job_id}/retry", headers=key) for _ in range(2))
    assert (again.status_code, again.json()["status"]) == (201, "queued")
    assert again.headers["location"] == f"{JOBS}/{again.json()['id']}"
    assert repeated.json()["id"] == again.json()["id"] != job_id
    same = {"dataset_id", "model_name", "method", "hyperparameters", "seed"}
    before = service.client.get(f"{JOBS}/{job_id}").json()
    assert before["status"] == "cancelled" and {f: before[f] for f in same} == {f: again.json()[f] for f in same}
    asked = {"dataset_id": service.add_dataset(), "model_name": "m", "method": "scratch"}
    assert service.submit(409, headers=key, **asked)["code"] == "idempotency_conflict"


def test_cancelling(service: Service) -> None:
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]
    response = service.client.post(f"{JOBS}/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    response = service.client.post(f"{JOBS}/{job_id}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "job_not_cancellable")
    for response in (
        service.client.post(f"{JOBS}/nope/cancel"),
        service.client.get(f"{JOBS}/nope"),
        service.client.get(f"{JOBS}/nope/events"),
        service.client.get(f"{JOBS}/nope/events", headers={"Accept": "text/event-stream"}),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "job_not_found")


def test_ids_that_no_database_takes_are_refused(service: Service) -> None:
    response = service.client.get(f"{JOBS}/%00")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


def test_events_as_a_list(service: Service) -> None:
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]
    events = service.client.get(f"{JOBS}/{job_id}/events").json()
    assert [(e["seq"], e["data"]["status"]) for e in events["items"]] == [(1, "validating"), (2, "queued")]
    assert events["next"] == 2
    assert service.client.get(f"{JOBS}/{job_id}/events", params={"after": 2}).json() == {"items": [], "next": 2}
    service.client.post(f"{JOBS}/{job_id}/cancel")
    rest = service.client.get(f"{JOBS}/{job_id}/events", params={"after": 2}).json()
    assert ([e["data"]["status"] for e in rest["items"]], rest["next"]) == (["cancelled"], None)


def test_events_as_they_happen_until_the_end(service: Service) -> None:
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="m", method="scratch")["id"]

    def work() -> None:
        time.sleep(0.7)
        with open_session(service.sessions) as session:
            jobs = service.jobs(session)
            token = jobs.claim(job_id, "w")
            assert token is not None
            jobs.add_event(job_id, token, "epoch", "Epoch 1", EPOCH)
        with open_session(service.sessions) as session:
            service.jobs(session).fail(job_id, token, "training_failed", "No luck.")

    worker = threading.Thread(target=work)
    worker.start()
    response = service.client.get(
        f"{JOBS}/{job_id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "1"}
    )
    worker.join()
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in response.text.split("\r\n\r\n") if b]
    assert [(b["id"], b["event"]) for b in blocks] == [
        ("2", "status"), ("3", "status"), ("4", "epoch"), ("5", "status")
    ]  # fmt: skip
    assert json.loads(blocks[-1]["data"])["data"] == {"status": "failed", "error_code": "training_failed"}
    job = service.client.get(f"{JOBS}/{job_id}").json()
    assert job["error"] == {"code": "training_failed", "detail": "No luck."}
    assert job["progress"] == EPOCH


def test_streams_are_not_hoarded(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.add_shipped()
    job_id = service.submit(dataset_id=service.add_dataset(), model_name="mine", method="scratch")["id"]
    assert service.client.post(f"{JOBS}/{job_id}/cancel").status_code == 202
    live = {"Accept": "text/event-stream"}
    for _ in range(3):
        assert service.client.get(f"{JOBS}/{job_id}/events", headers=live).status_code == 200
    assert not +stream._streams, "streams that ended count no more"
    monkeypatch.setitem(stream._streams, DEFAULT_TENANT, stream.MAX_STREAMS)
    refused = service.client.get(f"{JOBS}/{job_id}/events", headers=live)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0
    assert service.client.get(f"{JOBS}/{job_id}/events").status_code == 200


def test_a_name_keeps_its_unit(service: Service) -> None:
    service.add_shipped()
    first, other = service.add_dataset(unit="mJ"), service.add_dataset(unit="K")
    service.submit(dataset_id=first, model_name="mine", method="scratch")
    clash = service.submit(409, dataset_id=other, model_name="mine", method="scratch")
    assert clash["code"] == "model_mismatch" and "in mJ" in clash["detail"] and "in K" in clash["detail"]
    service.add_model("done", "k_vrh", source="fine_tuning")
    clash = service.submit(409, dataset_id=other, model_name="done", method="scratch")
    assert "in GPa" in clash["detail"]


def test_a_name_that_a_waiting_job_will_take_is_taken(service: Service) -> None:
    service.add_shipped()
    service.submit(dataset_id=service.add_dataset(), model_name="mine")
    compositions = service.add_dataset(input_kind="composition")
    clash = service.submit(409, dataset_id=compositions, model_name="mine")
    assert clash["code"] == "model_mismatch" and "job_" in clash["detail"]


@pytest.mark.parametrize(
    ("hyperparameters", "n_formulas", "reason"),
    [
        ({"train_fraction": 0.001, "val_fraction": 0.1}, 120, "leave 0 for training"),
        ({"train_fraction": 0.99, "val_fraction": 0.009}, 120, "0 for the test"),
        ({}, 2, "2 different formulas"),
        ({"members": 5}, 9, "each of 5 members without some of the formulas, at least 10"),
        ({"members": 12}, 23, "at least 24"),
    ],
)
def test_a_split_without_rows_is_refused_before_training(
    service: Service, hyperparameters: dict[str, Any], n_formulas: int, reason: str
) -> None:
    dataset_id = service.add_dataset(n_formulas=n_formulas)
    refused = service.submit(
        422, dataset_id=dataset_id, model_name="mine", method="scratch", hyperparameters=hyperparameters
    )
    assert refused["code"] == "invalid_job" and reason in refused["detail"]
    service.submit(dataset_id=dataset_id, model_name="mine", method="scratch", hyperparameters={"split": "random"})
