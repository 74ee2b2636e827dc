"""A training that names who is to be told of its end."""

from sqlalchemy import select

from app.core.db import open_session
from app.webhooks.models import WebhookDelivery
from app.webhooks.signing import new_secret
from tests.fine_tuning.conftest import Service

JOBS = "/v1/fine-tuning/jobs"
HOOK = "https://hooks.example.org/mine"


def _request(service: Service, url: str, secret: str) -> dict[str, object]:
    return {
        "dataset_id": service.add_dataset(), "model_name": "mine", "method": "rf",
        "webhook": {"url": url, "secret": secret},
    }  # fmt: skip


def test_the_end_is_announced_and_the_secret_is_not(service: Service) -> None:
    secret = new_secret()
    body = _request(service, HOOK, secret)
    made = [service.client.post(JOBS, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["id"] == made[1].json()["id"] and secret not in made[0].text
    for other in ({"url": HOOK, "secret": new_secret()}, {"url": f"{HOOK}2", "secret": secret}, None):
        refused = service.client.post(JOBS, json=body | {"webhook": other}, headers={"Idempotency-Key": "k"})
        assert refused.status_code == 409, "another receiver is another request"
    assert service.client.post(f"{JOBS}/{made[0].json()['id']}/cancel").status_code == 202
    with open_session(service.sessions, read_only=True) as session:
        [message] = session.scalars(select(WebhookDelivery))
    assert (message.job_id, message.event) == (made[0].json()["id"], "job.cancelled")
    assert secret not in message.body


def test_no_job_is_made_that_would_call_inside(service: Service) -> None:
    answer = service.client.post(JOBS, json=_request(service, "http://127.0.0.1:6379/", new_secret()))
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_refused")
    assert service.client.get(JOBS).json()["items"] == []
