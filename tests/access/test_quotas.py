"""Quotas as requests meet them."""

from dataclasses import dataclass
from typing import Any

import httpx

from app.access.quotas import Quota
from app.access.service import AccessService
from app.core.db import open_session
from tests.access.conftest import Running, Start
from tests.access.test_isolation import TABLE, WANTED_JOB, add_model

BULK, SCREENINGS = "/v1/bulk-predictions", "/v1/screenings"


def _limit(service: Running, quota: Quota, most: int) -> None:
    with open_session(service.unbound) as session:
        AccessService(session, "test").set_quotas("lab", dict.fromkeys(Quota) | {quota: most})


def _refused(answer: Any) -> bool:
    if answer.status_code == 403:
        assert answer.json()["code"] == "quota_exceeded", answer.text
        return True
    assert answer.status_code in (200, 201), answer.text
    return False


def test_data_sets_and_rows(start: Start) -> None:
    service = start(keys="required")
    key = service.of(service.key(tenant="lab"))

    def upload(n: int) -> Any:
        rows = "\n".join(f"Na{i}Cl,{n}.{i}" for i in range(1, 30))
        return service.client.post(
            "/v1/datasets", headers=key, data={"property": "band_gap"},
            files={"file": ("t.csv", f"composition,band_gap\n{rows}")},
        )  # fmt: skip

    _limit(service, Quota.DATASETS, 1)
    first = upload(1)
    assert not _refused(first)
    assert not _refused(upload(1)), "the same rows take no room"
    assert _refused(upload(2))
    _limit(service, Quota.DATASET_BYTES, first.json()["size_bytes"] + 10)
    assert _refused(upload(2))
    assert service.client.delete(f"/v1/datasets/{first.json()['id']}", headers=key).status_code == 204
    assert not _refused(upload(2))


def test_jobs(start: Start) -> None:
    service = start(keys="required")
    key = service.of(service.key(tenant="lab"))
    dataset = service.client.post("/v1/datasets", headers=key, files=TABLE, data={"property": "band_gap"}).json()["id"]
    wanted = WANTED_JOB | {"dataset_id": dataset}
    _limit(service, Quota.OPEN_JOBS, 1)
    job = service.client.post("/v1/fine-tuning/jobs", headers=key, json=wanted)
    assert not _refused(job)
    assert _refused(service.client.post("/v1/fine-tuning/jobs", headers=key, json=wanted))
    service.client.post(f"/v1/fine-tuning/jobs/{job.json()['id']}/cancel", headers=key)
    assert not _refused(service.client.post("/v1/fine-tuning/jobs", headers=key, json=wanted))


@dataclass(frozen=True)
class Lab:
    """A tenant with a model and a data set, of whose rows it may predict not quite twice as many a day."""

    service: Running
    key: dict[str, str]
    dataset_id: str

    @classmethod
    def create(cls, start: Start) -> "Lab":
        service = start(keys="required")
        key = service.of(service.key(tenant="lab"))
        add_model(service, service.sessions("lab"), "gaps", "band_gap", "import")
        dataset = service.client.post("/v1/datasets", headers=key, files=TABLE, data={"property": "band_gap"}).json()
        _limit(service, Quota.BULK_ROWS_A_DAY, 2 * dataset["n_rows"] - 1)
        return cls(service, key, dataset["id"])

    def post(self, path: str, **more: object) -> httpx.Response:
        wanted = {"dataset_id": self.dataset_id, "models": ["gaps"], **more}
        return self.service.client.post(path, headers=self.key, json=wanted)

    def cancel(self, path: str, job: httpx.Response) -> None:
        self.service.client.post(f"{path}/{job.json()['id']}/cancel", headers=self.key)


def test_bulk_rows(start: Start) -> None:
    lab = Lab.create(start)
    job = lab.post(BULK)
    assert not _refused(job)
    assert _refused(lab.post(BULK))
    jobs = lab.service.client.get(BULK, headers=lab.key).json()["items"]
    assert [each["id"] for each in jobs] == [job.json()["id"]], "a refused job must not be there"
    lab.cancel(BULK, job)
    assert not _refused(lab.post(BULK))


def test_rows_of_screenings_and_bulk_predictions_count_together(start: Start) -> None:
    lab = Lab.create(start)
    job = lab.post(SCREENINGS, objectives=[{"property": "band_gap", "goal": "maximise"}])
    assert not _refused(job)
    assert _refused(lab.post(BULK))
    lab.cancel(SCREENINGS, job)
    assert not _refused(lab.post(BULK))
