"""Messages over a real socket: signed, repeated, survived, and never where they may not go."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.orm import utc_now
from app.core.settings import JobSettings, WebhookSettings
from app.core.tenancy import of_tenant
from app.core.tenants import EVERY_TENANT, TenantScope
from app.jobs.kinds import JobKind
from app.jobs.service import JobService
from app.webhooks.deliverer import Deliverer
from app.webhooks.kinds import DeliveryStatus, WebhookEvent
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.webhooks.outbox import CLAIM_MARGIN_S, Outbox
from app.webhooks.schemas import WebhookCreate, WebhookCreated, WebhookTarget
from app.webhooks.sending import Outcome, send
from app.webhooks.service import WebhookService
from app.webhooks.signing import new_secret
from tests.concurrency import run_at_once
from tests.webhooks.receiver import Receiver, is_signed_with

OPEN = WebhookSettings(allow_private=True, timeout_s=2, first_retry_s=0.01, max_attempts=3)


class Hooks:
    """Webhooks, jobs and a sender on one database."""

    def __init__(self, sessions: sessionmaker[Session], settings: WebhookSettings = OPEN) -> None:
        self.sessions = sessions
        self.settings = settings
        self.deliverer = Deliverer(of_tenant(sessions, EVERY_TENANT), settings)

    def register(self, url: str, **fields: Any) -> WebhookCreated:
        with open_session(self.sessions) as session:
            return WebhookService(session, self.settings).create(WebhookCreate(url=url, **fields))

    def end_job(self, webhook: WebhookTarget | None = None) -> str:
        """A job that is cancelled before it begins."""
        with open_session(self.sessions) as session:
            jobs = JobService(session, JobSettings())
            job_id = jobs.create(JobKind.FINE_TUNING, {}, webhook=webhook).id
        with open_session(self.sessions) as session:
            JobService(session, JobSettings()).request_cancel(job_id)
        return job_id

    def messages(self) -> list[WebhookDelivery]:
        with open_session(self.sessions, read_only=True) as session:
            return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.created_at)))

    def make_due(self) -> None:
        """The waiting time is over."""
        past = utc_now() - timedelta(seconds=1)
        with open_session(self.sessions) as session:
            session.execute(update(WebhookDelivery).values(next_attempt_at=past))
            session.execute(update(WebhookEndpoint).values(quiet_until=None))


@pytest.fixture
def hooks(sessions: sessionmaker[Session]) -> Hooks:
    return Hooks(sessions)


def test_the_end_of_a_job_arrives_signed(hooks: Hooks, receiver: Receiver) -> None:
    hook = hooks.register(receiver.url)
    job_id = hooks.end_job()
    assert hooks.deliverer.deliver_next()
    assert not hooks.deliverer.deliver_next()
    [received] = receiver.received
    told = json.loads(received.body)
    assert told["type"] == "job.cancelled"
    assert (told["data"]["id"], told["data"]["status"]) == (job_id, "cancelled")
    assert told["data"]["path"] == f"/v1/fine-tuning/jobs/{job_id}"
    assert is_signed_with(hook.secret, received) and not is_signed_with(new_secret(), received)
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 30
    [message] = hooks.messages()
    assert (message.status, message.id) == (DeliveryStatus.DELIVERED, received.headers["webhook-id"])
    assert message.log[0]["status_code"] == 204


def test_a_job_announces_itself_where_it_was_told_to(hooks: Hooks, receiver: Receiver) -> None:
    secret = new_secret()
    hooks.end_job(WebhookTarget(url=receiver.url + "/signed", secret=SecretStr(secret)))
    hooks.end_job(WebhookTarget(url=receiver.url + "/plain"))
    hooks.end_job()
    while hooks.deliverer.deliver_next():
        pass
    by_path = {each.path: each for each in receiver.received}
    assert set(by_path) == {"/hook/signed", "/hook/plain"}
    assert is_signed_with(secret, by_path["/hook/signed"])
    assert "webhook-signature" not in by_path["/hook/plain"].headers


def test_only_what_was_asked_for_is_told(hooks: Hooks, receiver: Receiver) -> None:
    hooks.register(receiver.url, events=[WebhookEvent.JOB_SUCCEEDED])
    hooks.end_job()
    assert hooks.messages() == []


def test_another_tenants_jobs_are_not_told(hooks: Hooks, receiver: Receiver) -> None:
    hooks.register(receiver.url)
    Hooks(of_tenant(hooks.sessions, TenantScope("others"))).end_job()
    assert hooks.messages() == [] and not hooks.deliverer.deliver_next()


def test_a_failure_is_tried_again_with_the_same_id(hooks: Hooks, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (302, {"Location": receiver.url + "/elsewhere"})]
    hooks.register(receiver.url)
    hooks.end_job()
    for _ in range(3):
        hooks.make_due()
        assert hooks.deliverer.deliver_next()
    [message] = hooks.messages()
    assert [entry["status_code"] for entry in message.log] == [500, 302, 204]
    assert message.status == DeliveryStatus.DELIVERED
    assert {each.headers["webhook-id"] for each in receiver.received} == {message.id}
    assert {each.path for each in receiver.received} == {"/hook"}, "a redirect was followed"


def test_it_is_given_up_after_the_last_attempt_and_can_be_sent_again(hooks: Hooks, receiver: Receiver) -> None:
    receiver.answers = [(500, {})] * 3
    hooks.register(receiver.url)
    hooks.end_job()
    for _ in range(3):
        hooks.make_due()
        hooks.deliverer.deliver_next()
    [message] = hooks.messages()
    assert (message.status, message.attempts) == (DeliveryStatus.FAILED, 3)
    hooks.make_due()
    assert not hooks.deliverer.deliver_next()
    with open_session(hooks.sessions) as session:
        WebhookService(session, OPEN).retry(message.id)
    assert hooks.deliverer.deliver_next()
    assert hooks.messages()[0].status == DeliveryStatus.DELIVERED


def test_a_receiver_that_says_gone_gets_no_more(hooks: Hooks, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    hook = hooks.register(receiver.url)
    hooks.end_job()
    hooks.deliverer.deliver_next()
    hooks.end_job()
    assert [message.status for message in hooks.messages()] == [DeliveryStatus.FAILED]
    with open_session(hooks.sessions, read_only=True) as session:
        assert "410" in (WebhookService(session, OPEN).get(hook.id).disabled_reason or "")


def test_waits_grow_and_obey_the_receiver(hooks: Hooks, receiver: Receiver) -> None:
    with open_session(hooks.sessions, read_only=True) as session:
        outbox = Outbox(session, WebhookSettings())
        assert [outbox.wait_s(attempt) for attempt in (1, 2, 3, 20)] == [5, 20, 80, 43_200]
    receiver.answers = [(503, {"Retry-After": "120"})]
    hooks.register(receiver.url)
    hooks.end_job()
    before = utc_now()
    hooks.deliverer.deliver_next()
    [message] = hooks.messages()
    assert timedelta(seconds=119) < message.next_attempt_at - before < timedelta(seconds=130)


def test_a_sender_that_was_killed_costs_an_attempt_and_no_message(hooks: Hooks, receiver: Receiver) -> None:
    hooks.register(receiver.url)
    hooks.end_job()
    [message] = hooks.messages()
    with open_session(of_tenant(hooks.sessions, EVERY_TENANT)) as session:
        lost = Outbox(session, OPEN).claim(message.id)
    assert lost is not None
    assert not hooks.deliverer.deliver_next(), "it was sent twice at once"
    hooks.make_due()
    assert hooks.deliverer.deliver_next()
    assert len(receiver.received) == 1
    # The one that was believed dead comes back: what it has to say is out of date.
    with open_session(of_tenant(hooks.sessions, EVERY_TENANT)) as session:
        Outbox(session, OPEN).record(lost, Outcome(None, "late", 0.1))
    [message] = hooks.messages()
    assert (message.status, message.attempts, len(message.log)) == (DeliveryStatus.DELIVERED, 2, 1)


def test_many_senders_send_each_message_once(hooks: Hooks, receiver: Receiver) -> None:
    hooks.register(receiver.url)
    for _ in range(4):
        hooks.end_job()

    def work(_: int) -> None:
        deadline = time.monotonic() + 20
        sender = Deliverer(of_tenant(hooks.sessions, EVERY_TENANT), OPEN)
        while any(m.status == DeliveryStatus.PENDING for m in hooks.messages()) and time.monotonic() < deadline:
            sender.deliver_next()

    run_at_once(work, range(4))
    assert len(receiver.received) == 4
    assert {message.status for message in hooks.messages()} == {DeliveryStatus.DELIVERED}


def test_a_slow_receiver_costs_no_more_than_the_deadline(receiver: Receiver) -> None:
    receiver.seconds_before_answer = 5
    started = time.monotonic()
    outcome = send(receiver.url, {}, "{}", WebhookSettings(allow_private=True, timeout_s=0.5))
    assert time.monotonic() - started < 3
    assert outcome.error is not None and "did not answer within 0.5 s" in outcome.error
    assert OPEN.timeout_s + CLAIM_MARGIN_S > OPEN.timeout_s


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_nothing_reaches_the_loopback_unless_allowed(receiver: Receiver, host: str) -> None:
    url = receiver.url.replace("127.0.0.1", host)
    outcome = send(url, {}, "{}", WebhookSettings(timeout_s=2))
    assert outcome.error is not None and "inside the network" in outcome.error
    assert receiver.received == []


def test_a_name_that_cannot_be_looked_up_is_an_outcome() -> None:
    """Of a webhook from before such names were refused: an error here would repeat its messages for ever."""
    outcome = send(f"http://{'a' * 64}.org/", {}, "{}", OPEN)
    assert outcome.status_code is None and outcome.error is not None and "cannot be reached" in outcome.error


def test_the_checked_address_is_the_one_that_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers otherwise the second time changes nothing."""
    import socket

    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, *rest: Any, **options: Any) -> Any:
        if host.endswith("example.org"):
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    outcome = send(receiver.url.replace("127.0.0.1", "hooks.example.org"), {}, "{}", OPEN)
    assert outcome.error is None and asked == ["hooks.example.org"]
    assert receiver.received[0].headers["host"].startswith("hooks.example.org:")


def test_secrets_stay_where_they_are(hooks: Hooks, receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    secret = new_secret()
    hook = hooks.register(receiver.url + "?token=abc", secret=secret)
    receiver.answers = [(500, {})]
    hooks.end_job()
    hooks.deliverer.deliver_next()
    with open_session(hooks.sessions, read_only=True) as session:
        service = WebhookService(session, OPEN)
        shown = [service.get(hook.id), *service.all(), *service.deliveries(None, None, None, None, 10)[0]]
        endpoint = session.get(WebhookEndpoint, hook.id)
        assert endpoint is not None
        assert secret not in repr(endpoint.secret) + str(endpoint.secret) + repr(vars(endpoint))
    assert secret not in "".join(each.model_dump_json() for each in shown)
    told = capfd.readouterr()
    assert secret not in told.out + told.err and "token=abc" not in told.out + told.err


def test_old_messages_go_with_the_receivers_of_their_jobs(hooks: Hooks, receiver: Receiver) -> None:
    kept = hooks.register(receiver.url)
    hooks.end_job(WebhookTarget(url=receiver.url))
    while hooks.deliverer.deliver_next():
        pass
    hooks.end_job(WebhookTarget(url=receiver.url))
    with open_session(hooks.sessions) as session:
        session.execute(update(WebhookDelivery).values(created_at=utc_now() - timedelta(days=31)))
    with open_session(of_tenant(hooks.sessions, EVERY_TENANT)) as session:
        Outbox(session, OPEN).forget_old()
    assert {message.status for message in hooks.messages()} == {DeliveryStatus.PENDING}
    with open_session(hooks.sessions, read_only=True) as session:
        assert len(list(session.scalars(select(WebhookEndpoint)))) == 2
        assert session.get(WebhookEndpoint, kept.id) is not None
