"""The calls under /v1/bulk-predictions, on both databases, without a worker."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.bulk.models import BulkPart
from app.bulk.parts import Known, Lines, write_part
from app.bulk.spec import BulkSpec
from app.core.db import open_session
from app.datasets.service import DatasetService
from app.jobs.service import JobService
from app.registry.service import RegistryService
from tests.bulk.conftest import MAX_ROWS, URL, Service
from tests.bulk.tables import as_csv, as_json_lines, as_parquet, as_zip, rows

COMPOSITIONS = b"id,composition\na,NaCl\nb,KCl\n"


def _stored(service: Service) -> list[str]:
    return [path for path in service.store.list() if path.startswith("bulk/")]


def _spec(service: Service, job_id: str) -> BulkSpec:
    with open_session(service.sessions, read_only=True) as session:
        return BulkSpec.model_validate(JobService(session, service.settings.jobs).get(job_id).spec)


def _finish_part(service: Service, job_id: str, token: str, number: int, folder: Path) -> None:
    """What a worker records for one chunk of ten rows."""
    path = folder / "part.parquet"
    lines = Lines()
    for row in range(10 * number + 1, 10 * number + 11):
        lines.add_value(row, f"salt-{row - 1}", 0.5, ("band_gap", "eV", "gaps", 1), Known(), [])
    info = write_part(path, number, range(10 * number + 1, 10 * number + 11), lines)
    stored = f"{_spec(service, job_id).parts_prefix}/{number}"
    service.store.put_new(stored, path.read_bytes())
    with open_session(service.sessions) as session:
        JobService(session, service.settings.jobs).held(job_id, token)
        session.add(
            BulkPart(
                job_id=job_id, number=number, n_inputs=info.n_inputs, n_failed=info.n_failed, n_lines=info.n_lines,
                path=stored, size_bytes=1,
            )
        )  # fmt: skip


def _claim(service: Service, job_id: str) -> str:
    with open_session(service.sessions) as session:
        token = JobService(session, service.settings.jobs).claim(job_id, "w1")
    assert token is not None
    return token


def test_a_file_becomes_a_job_with_its_models_pinned(service: Service) -> None:
    job = service.submit(as_csv(rows(30)), name="my rows.csv", models=["gaps", "energies/1"])
    assert job["status"] == "queued" and job["attempts"] == 0 and not service.queue.is_empty()
    assert job["input"] | {"sha256": ""} == {
        "name": "my rows.csv", "format": "csv", "column": "poscar", "id_column": "id", "dataset_id": None,
        "size_bytes": len(as_csv(rows(30))), "sha256": "", "notes": [],
    }  # fmt: skip
    assert [(m["name"], m["version"], m["unit"]) for m in job["models"]] == [
        ("gaps", 1, "eV"),
        ("energies", 1, "eV/atom"),
    ]
    assert job["progress"] == {"done": 0, "failed": 0, "total": None, "rate_per_s": None, "eta_s": None}
    assert service.store.get(_spec(service, job["id"]).input_path) == as_csv(rows(30))
    listed = service.client.get(URL).json()
    assert [entry["id"] for entry in listed["items"]] == [job["id"]]
    assert service.client.get(f"{URL}/{job['id']}").json() == job
    assert service.client.get(f"{URL}?status=running").json()["items"] == []
    events = service.client.get(f"{URL}/{job['id']}/events").json()["items"]
    assert [event["data"]["status"] for event in events] == ["validating", "queued"]
    # What a job still needs cannot be deleted.
    with open_session(service.sessions, read_only=True) as session:
        version = RegistryService(session, service.store).resolve("gaps")
    assert version.id in {use.id for use in _spec(service, job["id"]).models}


@pytest.mark.parametrize(("content", "total"), [(as_parquet(rows(30)), 30), (as_zip(rows(30)), 30)])
def test_the_total_is_known_at_once_where_the_file_says_it(service: Service, content: bytes, total: int) -> None:
    job = service.submit(content, properties=["band_gap"])
    assert job["progress"]["total"] == total
    assert [m["name"] for m in job["models"]] == ["gaps"]
    # Without a choice the champions answer that take what the rows hold.
    assert {m["name"] for m in service.submit(content)["models"]} == {"energies", "gaps"}
    assert [m["name"] for m in service.submit(COMPOSITIONS)["models"]] == ["formulas"]


def test_a_data_set_is_predicted_from_by_its_id(service: Service) -> None:
    text = "id,composition,k_vrh\n" + "".join(f"r{i},Na{i + 1}Cl,{i + 1}\n" for i in range(25))
    with open_session(service.sessions) as session:
        datasets = DatasetService(session, service.store, service.settings)
        dataset_id = datasets.create("d.csv", io.BytesIO(text.encode()), "k_vrh").dataset.id
    answer = service.client.post(URL, json={"dataset_id": dataset_id, "models": ["formulas"]})
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"{URL}/{job['id']}"
    assert (job["input"]["dataset_id"], job["input"]["format"], job["progress"]["total"]) == (dataset_id, "dataset", 25)
    assert _stored(service) == []
    assert service.client.post(URL, json={"dataset_id": dataset_id, "models": ["gaps"]}).status_code == 422


@pytest.mark.parametrize(
    ("content", "fields", "status", "code", "words"),
    [
        (b"", {}, 422, "dataset_invalid", "empty"),
        (b"a,b\n1,2\n", {}, 422, "dataset_invalid", "No column holds structures"),
        (b"PK\x03\x04", {}, 422, "invalid_archive", "zip"),
        (as_parquet(rows(MAX_ROWS + 1)), {}, 422, "too_many_inputs", "500 rows"),
        (as_json_lines(rows(10)) + b" " * 1_000_000, {}, 413, "payload_too_large", "1,000,000"),
        (COMPOSITIONS, {"models": ["nope"]}, 404, "model_not_found", "nope"),
        (COMPOSITIONS, {"models": ["gaps/9"]}, 404, "model_version_not_found", "9"),
        (COMPOSITIONS, {"models": ["gaps@x"]}, 404, "alias_not_found", "x"),
        (COMPOSITIONS, {"properties": ["colour"]}, 404, "property_not_found", "colour"),
        (COMPOSITIONS, {"models": ["gaps"]}, 422, "input_kind_mismatch", "gaps/1"),
        (COMPOSITIONS, {"models": ["gaps"], "properties": ["band_gap"]}, 422, "invalid_request", "not both"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_kept(
    service: Service, content: bytes, fields: dict[str, Any], status: int, code: str, words: str
) -> None:
    problem = service.submit(content, status, **fields)
    assert problem["code"] == code and words in problem["detail"], problem
    assert service.client.get(URL).json()["items"] == [] and service.queue.is_empty()
    assert _stored(service) == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"dataset_id": "ds_nope"}, 404, "dataset_not_found"),
        ({}, 422, "invalid_request"),
        ({"dataset_id": "ds_1", "model": ["gaps"]}, 422, "invalid_request"),
        ({"dataset_id": "ds_1", "models": ["gaps"], "properties": ["band_gap"]}, 422, "invalid_request"),
    ],
)
def test_a_request_in_json_is_checked(service: Service, body: dict[str, Any], status: int, code: str) -> None:
    answer = service.client.post(URL, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert service.client.post(URL, data={"models": "gaps"}).json()["code"] == "invalid_request"


def test_an_idempotency_key_makes_one_job(service: Service) -> None:
    first = service.submit(COMPOSITIONS, key="k")
    kept = _stored(service)
    assert service.submit(COMPOSITIONS, key="k")["id"] == first["id"]
    assert _stored(service) == kept and len(kept) == 1
    assert service.submit(COMPOSITIONS, 409, key="k", models=["formulas"])["code"] == "idempotency_conflict"
    assert service.submit(COMPOSITIONS + b"c,LiF\n", 409, key="k")["code"] == "idempotency_conflict"
    hook = "https://hooks.example.org/mine"
    assert service.submit(COMPOSITIONS, 409, key="k", webhook_url=hook)["code"] == "idempotency_conflict"
    assert service.submit(COMPOSITIONS)["id"] != first["id"]


def test_pages(service: Service) -> None:
    made = [service.submit(COMPOSITIONS)["id"] for _ in range(3)]
    first = service.client.get(f"{URL}?limit=2").json()
    rest = service.client.get(URL, params={"limit": 2, "cursor": first["next"]}).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == made[::-1] and rest["next"] is None


def test_cancelled_before_a_worker_took_it(service: Service) -> None:
    job_id = service.submit(COMPOSITIONS)["id"]
    answer = service.client.post(f"{URL}/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert len(_stored(service)) == 1  # it may be tried again
    assert service.client.post(f"{URL}/{job_id}/cancel").json()["code"] == "job_not_cancellable"
    assert service.client.get(f"{URL}/{job_id}/results").json()["code"] == "job_not_finished"


def test_paused_resumed_and_tried_again_with_an_input_of_its_own(service: Service) -> None:
    first = service.submit(COMPOSITIONS)

    def order(job_id: str, what: str, **headers: str) -> tuple[int, Any]:
        answer = service.client.post(f"{URL}/{job_id}/{what}", headers=headers)
        return answer.status_code, answer.json()

    assert order(first["id"], "retry")[1]["code"] == "job_not_retryable"
    assert [order(first["id"], what)[1]["status"] for what in ("pause", "pause", "resume")] == [
        "paused", "paused", "queued",
    ]  # fmt: skip
    order(first["id"], "cancel")
    assert [order(first["id"], what)[1]["code"] for what in ("pause", "resume")] == [
        "job_not_pausable", "job_not_resumable",
    ]  # fmt: skip
    status, again = order(first["id"], "retry", **{"Idempotency-Key": "k"})
    assert (status, again["status"], again["input"]) == (201, "queued", first["input"]) and again["id"] != first["id"]
    assert order(first["id"], "retry", **{"Idempotency-Key": "k"})[1]["id"] == again["id"]
    assert service.client.delete(f"{URL}/{first['id']}").status_code == 204
    assert service.store.get(_spec(service, again["id"]).input_path) == COMPOSITIONS
    assert len(_stored(service)) == 1
    gone = order(first["id"], "retry")[1]
    assert gone["code"] == "job_not_retryable" and "no longer kept" in gone["detail"]


def test_results_and_progress_while_parts_are_finished(service: Service, tmp_path: Path) -> None:
    job_id = service.submit(as_parquet(rows(30)))["id"]
    results = f"{URL}/{job_id}/results"
    token = _claim(service, job_id)
    for number in (1, 0):
        _finish_part(service, job_id, token, number, tmp_path)
    progress = service.client.get(f"{URL}/{job_id}").json()["progress"]
    assert (progress["done"], progress["failed"], progress["total"]) == (20, 0, 30)
    assert progress["rate_per_s"] > 0 and progress["eta_s"] >= 0
    early = service.client.get(results)
    assert (early.status_code, early.json()["code"]) == (409, "job_not_finished") and "20 of its" in early.json()[
        "detail"
    ]
    part = service.client.get(results, params={"partial": "true", "format": "jsonl"}).text
    assert [json.loads(line)["row"] for line in part.splitlines()] == list(range(1, 21))
    assert service.client.delete(f"{URL}/{job_id}").json()["code"] == "job_not_finished"
    _finish_part(service, job_id, token, 2, tmp_path)
    with open_session(service.sessions) as session:
        JobService(session, service.settings.jobs).succeed(job_id, token, {})
    answer = service.client.get(results, params={"format": "parquet"})
    assert pq.read_table(io.BytesIO(answer.content))["row"].to_pylist() == list(range(1, 31))
    assert f'filename="{job_id}.parquet"' in answer.headers["content-disposition"]
    assert service.client.get(results).headers["content-type"].startswith("text/csv")
    assert service.client.get(f"{results}?format=xlsx").status_code == 422
    assert service.client.delete(f"{URL}/{job_id}").status_code == 204
    assert _stored(service) == []
    gone = service.client.get(results)
    assert (gone.status_code, gone.json()["code"]) == (404, "results_deleted")
    again = service.client.get(f"{URL}/{job_id}").json()
    assert again["results_deleted_at"] is not None and again["progress"]["done"] == 30
    assert service.client.delete(f"{URL}/{job_id}").status_code == 204


def test_a_chunk_is_recorded_once(service: Service, tmp_path: Path) -> None:
    job_id = service.submit(as_parquet(rows(30)))["id"]
    token = _claim(service, job_id)
    _finish_part(service, job_id, token, 0, tmp_path)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate|primary"):
        _finish_part(service, job_id, token, 0, tmp_path)


@pytest.mark.parametrize("fmt", ["csv", "jsonl", "parquet"])
def test_a_download_goes_on_where_it_broke_off(service: Service, tmp_path: Path, fmt: str) -> None:
    job_id = service.submit(as_csv(rows(30)), models=["gaps"])["id"]
    token = _claim(service, job_id)
    for number in range(2):
        _finish_part(service, job_id, token, number, tmp_path)
    url = f"{URL}/{job_id}/results?format={fmt}&partial=true"
    whole = service.client.get(url)
    assert whole.status_code == 200, whole.text
    etag, content = whole.headers["etag"], whole.content
    assert whole.headers["accept-ranges"] == "bytes" and len(content) > 500

    def part(wanted: str, if_range: str = etag) -> Any:
        return service.client.get(url, headers={"Range": wanted, "If-Range": if_range})

    for wanted, first, last in (("bytes=200-", 200, None), ("bytes=7-90", 7, 91), ("bytes=-30", -30, None)):
        answer = part(wanted)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (206, content[first:last], etag)
        start = first % len(content)
        end = (last or len(content)) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(content)}"
    assert part("bytes=999999-").status_code == 416
    for ignored in ("bytes=-", "rows=1-2", "bytes=0-1,5-6"):
        assert (part(ignored).status_code, part(ignored).content) == (200, content)
    assert service.client.get(url, headers={"If-None-Match": etag}).status_code == 304
    # With another part it is another file: what was there of the old one must not be gone on with.
    _finish_part(service, job_id, token, 2, tmp_path)
    answer = part("bytes=200-")
    assert answer.status_code == 200 and answer.headers["etag"] != etag


def test_jobs_of_another_kind_are_not_found(service: Service) -> None:
    with open_session(service.sessions) as session:
        job_id = JobService(session, service.settings.jobs).create("fine_tuning", {}).id
    for path in ("", "/results", "/events"):
        assert service.client.get(f"{URL}/{job_id}{path}").json()["code"] == "job_not_found"
    assert service.client.delete(f"{URL}/{job_id}").json()["code"] == "job_not_found"
    assert service.client.post(f"{URL}/{job_id}/cancel").json()["code"] == "job_not_found"
