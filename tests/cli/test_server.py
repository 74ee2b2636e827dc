"""What commands do where a server is busy, or cuts its answers."""

from pathlib import Path

import pytest

from app.cli.main import app
from app.cli.output import print_table
from app.cli.server import CannotWrite, Server, ServerError
from tests.client.hostile import Reply, Seen, busy, hostile_server

FOUND = {"id": "job_1", "status": "queued"}


def test_what_stores_nothing_is_asked_again_and_what_does_is_not_made_twice() -> None:
    keys: set[str] = set()

    def answer(request: Seen) -> Reply:
        keys.add(request.headers.get("Idempotency-Key", ""))
        return Reply(201, FOUND, cut=3 if len(server.seen) % 2 else None)

    with hostile_server(answer) as server, Server(server.url) as client:
        assert client.get("/v1/jobs/job_1") == FOUND
        assert client.compute("/v1/predictions", {}) == FOUND
        assert len(server.seen) == 4 and keys == {""}
        assert client.create("/v1/screenings", {}) == FOUND
        assert len(server.seen) == 6 and len(keys) == 2
        with pytest.raises(ServerError, match="does not answer"):
            client.send("POST", "/v1/screenings/job_1/cancel")
        assert len(server.seen) == 7


def test_a_busy_server_is_waited_for_and_then_told_of() -> None:
    with hostile_server([busy(429, "0"), busy(503, "0"), Reply(body=FOUND)]) as server, Server(server.url) as client:
        assert client.send("POST", "/v1/x") == FOUND
    with hostile_server([busy(503, "3600")]) as server, Server(server.url) as client:
        with pytest.raises(ServerError) as raised:
            client.get("/v1/x")
        assert (raised.value.status, raised.value.code, len(server.seen)) == (503, "not_ready", 1)
    with hostile_server([busy(503, "0")]) as server, Server(server.url, attempts=1) as client:
        with pytest.raises(ServerError):
            client.get("/health/ready")
        assert len(server.seen) == 1


def test_downloads_go_on_or_leave_nothing(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8

    def ranged(request: Seen) -> Reply:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        return Reply(206 if start else 200, content[start:], {"ETag": '"v1"'}, cut=None if start else 900)

    with hostile_server(ranged) as server, Server(server.url) as client:
        client.download("/v1/results", {"format": "csv"}, tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_bytes() == content and len(server.seen) == 2
        with pytest.raises(CannotWrite, match="cannot be written"):
            client.download("/v1/results", {}, tmp_path / "none" / "out.csv")
    refusal = Reply(409, {"code": "job_not_finished", "detail": "It runs."})
    with hostile_server([refusal]) as server, Server(server.url) as client:
        with pytest.raises(ServerError, match=r"^It runs\.$") as raised:
            client.download("/v1/results", {}, tmp_path / "later.csv")
        assert raised.value.code == "job_not_finished"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_something_else_that_speaks_http_and_names_with_signs_in_them() -> None:
    page = Reply(body=b"<html>router</html>", content_type="text/html")
    with hostile_server([page]) as server, Server(server.url) as client:
        with pytest.raises(ServerError, match="is no Xtalforge server"):
            client.get("/v1/models/{name}?x#y")
        assert server.seen[0].path == "/v1/models/%7Bname%7D%3Fx%23y"


def test_errors_carry_the_servers_code_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    missing = Reply(401, {"code": "key_missing", "detail": "Send `Authorization: Bearer xf_...`."})
    sentence = "There is no model 'nope'." + " Did you mean another one?" * 8
    unknown = Reply(404, {"code": "model_not_found", "detail": sentence})
    with hostile_server([missing, unknown]) as server:
        for words in (["models", "show", "nope"], ["models", "show", "nope"]):
            with pytest.raises(SystemExit) as ended:
                app([*words, "--server", server.url])
            assert ended.value.code == 4
    told = capsys.readouterr().err.splitlines()
    assert [line.split(")")[0] for line in told] == ["error (key_missing", "error (model_not_found"]
    assert "XTALFORGE_API_KEY" in told[0] and told[1].endswith(sentence)


def test_tables_for_people_keep_identifiers_whole_and_times_short(capsys: pytest.CaptureFixture[str]) -> None:
    job = "job_" + "0a" * 16
    row = [job, "fine-tuning", "cancelled", "a model by fine_tune " * 4, "2026-11-22T00:19:27.819921Z"]
    print_table("", ["job", "kind", "status", "what", "made"], [row])
    printed = capsys.readouterr().out
    assert job in printed and "2026-11-22 00:19:27Z" in printed
