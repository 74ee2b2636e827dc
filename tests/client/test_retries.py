"""The client against a real server that answers 429 and 503, cuts answers and streams, and is silent."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.client.hostile import Reply, Seen, busy, hostile_server
from xtalforge_client import (
    AsyncClient,
    Busy,
    Client,
    Conflict,
    Refused,
    RetryPolicy,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)

QUICK = RetryPolicy(attempts=4, first_wait_s=0.02)
PROPERTIES = Reply(body={"items": []})
JOB = {
    "id": "job_1", "status": "queued", "status_reason": None, "error": None, "created_at": "2026-01-01T00:00:00Z",
    "started_at": None, "finished_at": None, "dataset_id": "ds_1", "model_name": "mine", "property": "k_vrh",
    "unit": "GPa", "base_model": None, "method": "scratch", "architecture": "cgcnn", "hyperparameters": {}, "seed": 0,
    "attempts": 0, "progress": None, "search": None, "result": None,
}  # fmt: skip


def event(seq: int) -> dict[str, Any]:
    return {"seq": seq, "level": "info", "kind": "message", "message": f"event {seq}", "data": {},
            "created_at": "2026-01-01T00:00:00Z"}  # fmt: skip


def stream(*seqs: int) -> bytes:
    return b": hello\n\n" + b"".join(
        f"id: {seq}\nevent: message\ndata: {json.dumps(event(seq))}\n\n".encode() for seq in seqs
    )


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    with hostile_server([busy(status, "1"), PROPERTIES]) as server, Client(server.url, retry=QUICK) as client:
        assert client.properties() == []
        first, second = server.seen
        assert second.at_s - first.at_s >= 1.0


def test_retry_after_may_be_a_date() -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    with hostile_server([busy(503, at), PROPERTIES]) as server, Client(server.url, retry=QUICK) as client:
        assert client.properties() == []
        assert 0.5 < server.seen[1].at_s - server.seen[0].at_s < 4


def test_a_server_that_stays_busy_is_given_up() -> None:
    with hostile_server([busy(429)]) as server, Client(server.url, retry=QUICK) as client:
        with pytest.raises(Busy) as raised:
            client.properties()
        assert (raised.value.code, raised.value.status, len(server.seen)) == ("queue_full", 429, 4)


def test_a_longer_wait_than_allowed_is_told_at_once() -> None:
    with hostile_server([busy(503, "3600")]) as server, Client(server.url, retry=QUICK) as client:
        with pytest.raises(Busy) as raised:
            client.properties()
        assert (raised.value.retry_after_s, len(server.seen)) == (3600, 1)


def test_a_cut_answer_is_asked_for_again() -> None:
    cut = Reply(body={"items": []}, cut=5)
    with hostile_server([cut, cut, PROPERTIES]) as server, Client(server.url, retry=QUICK) as client:
        assert client.properties() == []
        assert len(server.seen) == 3


def test_a_silent_server_times_out_and_is_asked_again() -> None:
    slow = Reply(body={"items": []}, delay_s=1.0)
    with hostile_server([slow, PROPERTIES]) as server, Client(server.url, retry=QUICK, timeout=0.2) as client:
        started = time.monotonic()
        assert client.properties() == []
        assert len(server.seen) == 2 and time.monotonic() - started < 0.9


def test_no_server() -> None:
    with hostile_server([PROPERTIES]) as server:
        url = server.url
    with Client(url, retry=QUICK) as client, pytest.raises(ServerUnreachable, match="4 attempts"):
        client.properties()


def test_a_job_is_made_once_though_its_answer_was_lost() -> None:
    """All attempts carry one key; the next call has another."""
    jobs: dict[str, dict[str, Any]] = {}

    def answer(request: Seen) -> Reply:
        key = request.headers["Idempotency-Key"]
        is_new = key not in jobs
        jobs.setdefault(key, {**JOB, "id": f"job_{len(jobs) + 1}"})
        return Reply(201, jobs[key], cut=20 if is_new else None)

    with hostile_server(answer) as server, Client(server.url, retry=QUICK) as client:
        assert client.fine_tuning.create("ds_1", "mine", method="scratch").id == "job_1"
        assert client.fine_tuning.create("ds_1", "mine", method="scratch").id == "job_2"
        assert len(server.seen) == 4
        assert server.seen[0].headers["Idempotency-Key"] == server.seen[1].headers["Idempotency-Key"]


def test_jobs_say_where_their_end_is_announced(tmp_path: Path) -> None:
    """In JSON and in the form of an upload; the answers are cut, what was sent counts."""
    file = tmp_path / "rows.csv"
    file.write_bytes(b"composition\nNaCl\n")
    told = {"webhook": "https://lab.example.org/h", "webhook_secret": "whsec_x"}
    once = RetryPolicy(attempts=1)
    with hostile_server([Reply(201, JOB, cut=1)]) as server, Client(server.url, retry=once) as client:
        for start in (
            lambda: client.fine_tuning.create("ds_1", "mine", **told),
            lambda: client.bulk_predictions.create("ds_1", **told),
            lambda: client.screenings.create(dataset_id="ds_1", objectives=[], **told),
            lambda: client.bulk_predictions.create(file, **told),
            lambda: client.screenings.create(file, **told),
        ):
            with pytest.raises(ServerUnreachable):
                start()
        in_json, in_forms = server.seen[:3], server.seen[3:]
    expected = {"url": told["webhook"], "secret": told["webhook_secret"]}
    assert [request.json["webhook"] for request in in_json] == [expected] * 3
    for request in in_forms:
        assert b'name="webhook_url"\r\n\r\nhttps://lab.example.org/h\r\n' in request.body
        assert b'name="webhook_secret"\r\n\r\nwhsec_x\r\n' in request.body


def test_what_must_not_happen_twice_is_not_sent_twice() -> None:
    """A rollback whose answer was lost may have happened; one that was refused has not."""
    alias = {"name": "m", "alias": "champion", "version": 1, "revision": 3, "updated_at": "2026-01-01T00:00:00Z"}
    with hostile_server([Reply(body=alias, cut=3)]) as server, Client(server.url, retry=QUICK) as client:
        with pytest.raises(ServerUnreachable):
            client.models.roll_back_alias("m", "champion")
        assert len(server.seen) == 1
    with hostile_server([busy(503, "0"), Reply(body=alias)]) as server, Client(server.url, retry=QUICK) as client:
        assert client.models.roll_back_alias("m", "champion").revision == 3


def test_an_upload_is_sent_whole_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"composition,k_vrh\n" + b"NaCl,24.6\n" * 5000)
    with hostile_server([busy(429, "0"), Reply(422, {"code": "dataset_invalid", "detail": "no"})]) as server:
        with Client(server.url, retry=QUICK) as client, pytest.raises(ServerError, match="dataset_invalid"):
            client.datasets.create(file, "k_vrh")
        assert [request.body.count(b"NaCl") for request in server.seen] == [5000, 5000]


def test_errors_say_what_the_server_says() -> None:
    problem = {"code": "job_not_finished", "detail": "It runs.", "status": 409, "request_id": "r1"}
    with hostile_server([Reply(409, problem)]) as server, Client(server.url) as client:
        with pytest.raises(Conflict, match=r"It runs. \[job_not_finished, HTTP 409\]") as raised:
            client.fine_tuning.report("job_1")
        assert raised.value.request_id == "r1"


def test_the_key_travels_in_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTALFORGE_API_KEY", "xf_environment")
    wrong = Reply(401, {"code": "key_invalid", "detail": "No such key."})
    with hostile_server([PROPERTIES, PROPERTIES, wrong]) as server:
        monkeypatch.setenv("XTALFORGE_URL", server.url + "/")
        with Client() as client, Client(api_key="xf_argument") as other:
            client.properties()
            other.properties()
            with pytest.raises(Refused, match="key_invalid"):
                other.properties()
        keys = [request.headers["Authorization"] for request in server.seen]
        assert keys[:2] == ["Bearer xf_environment", "Bearer xf_argument"]
        assert server.seen[0].path == "/v1/properties"


def test_something_else_that_speaks_http() -> None:
    page = Reply(body=b"<html>router</html>", content_type="text/html")
    with hostile_server([page]) as server, Client(server.url) as client, pytest.raises(UnexpectedAnswer):
        client.properties()
    fault = Reply(500, b"oops", content_type="text/plain")
    with hostile_server([fault]) as server, Client(server.url) as client, pytest.raises(ServerError, match="http_500"):
        client.properties()


def _events_script(request: Seen) -> Reply:
    """Five events; every stream is cut in the middle of the second one that it brings."""
    is_stream = "event-stream" in request.headers.get("Accept", "")
    after = int(request.headers.get("Last-Event-ID") or request.path.partition("after=")[2] or 0)
    if not is_stream:
        return Reply(body={"items": [], "next": None if after == 5 else after})
    text = stream(*range(after + 1, 6))
    cut = text.find(b"id:", text.find(b"id:") + 3) + 10
    return Reply(body=text, cut=cut if after < 4 else None, content_type="text/event-stream")


def test_a_cut_stream_goes_on_where_it_broke() -> None:
    with hostile_server(_events_script) as server, Client(server.url, retry=QUICK) as client:
        assert [each.seq for each in client.fine_tuning.events("job_1")] == [1, 2, 3, 4, 5]
        resumed = [each.headers["Last-Event-ID"] for each in server.seen if "Last-Event-ID" in each.headers]
        assert resumed == ["0", "1", "2", "3", "4"]


def test_a_stream_that_ends_too_early_is_asked_for_again() -> None:
    """A proxy may end it in good order, with nothing sent."""

    def answer(request: Seen) -> Reply:
        if "event-stream" in request.headers.get("Accept", ""):
            return Reply(body=b"", content_type="text/event-stream")
        is_over = len(server.seen) > 3
        return Reply(body={"items": [event(1)] if is_over else [], "next": None if is_over else 0})

    with hostile_server(answer) as server, Client(server.url, retry=QUICK) as client:
        started = time.monotonic()
        assert [each.seq for each in client.fine_tuning.events("job_1")] == [1]
        assert time.monotonic() - started > 1


def test_async_client_does_the_same() -> None:
    async def use(url: str) -> list[int]:
        async with AsyncClient(url, retry=QUICK) as client:
            return [each.seq async for each in client.fine_tuning.events("job_1")]

    with hostile_server(_events_script) as server:
        assert asyncio.run(use(server.url)) == [1, 2, 3, 4, 5]

    async def properties(url: str) -> None:
        async with AsyncClient(url, retry=QUICK) as client:
            await client.properties()

    with hostile_server([busy(503, "0"), Reply(body={"items": []}, cut=2), PROPERTIES]) as server:
        asyncio.run(properties(server.url))
        assert len(server.seen) == 3


def test_a_stream_that_never_brings_anything_is_given_up() -> None:
    def answer(request: Seen) -> Reply:
        if "event-stream" in request.headers.get("Accept", ""):
            return Reply(body=stream(1), cut=4, content_type="text/event-stream")
        return Reply(body={"items": [], "next": 0})

    gives_up = pytest.raises(ServerUnreachable, match="broke off 4 times")
    with hostile_server(answer) as server, Client(server.url, retry=QUICK) as client, gives_up:
        list(client.fine_tuning.events("job_1"))


def test_a_download_goes_on_or_begins_anew(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40

    def ranged(request: Seen) -> Reply:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"ETag": '"v1"'}
        if start:
            assert request.headers["If-Range"] == '"v1"'
            return Reply(206, content[start:], headers)
        return Reply(200, content, headers, cut=4000)

    target = tmp_path / "results.csv"
    with hostile_server(ranged) as server, Client(server.url, retry=QUICK) as client:
        assert client.bulk_predictions.save_results("job_1", target).read_bytes() == content
        assert [request.headers.get("Range") for request in server.seen] == [None, "bytes=4000-"]
    script = [Reply(body=content, cut=4000), Reply(body=content)]
    with hostile_server(script) as server, Client(server.url, retry=QUICK) as client:
        assert client.bulk_predictions.save_results("job_1", target).read_bytes() == content
    gives_up = pytest.raises(ServerUnreachable)
    with hostile_server([Reply(body=content, cut=9)]) as server, Client(server.url, retry=QUICK) as client, gives_up:
        client.bulk_predictions.save_results("job_1", tmp_path / "none.csv")
    assert list(tmp_path.iterdir()) == [target]


def test_streams_and_downloads_wait_for_a_busy_server_too(tmp_path: Path) -> None:
    with hostile_server([busy(429, "0"), Reply(body=b"a,b")]) as server, Client(server.url, retry=QUICK) as client:
        assert client.bulk_predictions.save_results("job_1", tmp_path / "r.csv").read_bytes() == b"a,b"
    script = [
        Reply(body={"items": [], "next": 0}), busy(503, "0"), Reply(body=stream(1), content_type="text/event-stream"),
        Reply(body={"items": [], "next": None}),
    ]  # fmt: skip
    with hostile_server(script) as server, Client(server.url, retry=QUICK) as client:
        assert [each.seq for each in client.fine_tuning.events("job_1")] == [1]


def test_waits_grow_and_end() -> None:
    policy = RetryPolicy(attempts=4, first_wait_s=1.0, longest_wait_s=3.0)
    answer = httpx.Response(503)
    waits = [policy.wait_after_response(attempt, answer, is_repeatable=True) for attempt in (1, 2, 3, 4)]
    assert waits[3] is None
    assert all(low <= (wait or 0) <= 1.25 * low for low, wait in zip((1, 2, 3), waits[:3], strict=True))
