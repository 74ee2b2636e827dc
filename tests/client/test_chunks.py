"""Many inputs in several requests, progress, tables: against a real HTTP server that answers as the service would."""

import math
import threading
from typing import Any

import pandas as pd
import pytest

from tests.client.hostile import Reply, Seen, busy, hostile_server
from xtalforge_client import Client, InputsFailed, RetryPolicy, ServerError, UnusableInput, to_frame

QUICK = RetryPolicy(attempts=2, first_wait_s=0.01)
MODEL = {"name": "m", "version": 1, "sha256": "0" * 64}


def prediction(input_id: str, value: float) -> dict[str, Any]:
    return {
        "input_id": input_id, "property": "band_gap", "value": value, "unit": "eV", "definition": "d", "model": MODEL,
        "interval": {"level": 0.9, "lower": value - 1, "upper": value + 1}, "notes": [],
        "domain": {"in_domain": True, "score": 0.5, "reason": "near"},
    }  # fmt: skip


def failure(input_id: str) -> dict[str, Any]:
    return {"input_id": input_id, "code": "invalid_composition", "detail": "Which element?", "model": None}


def service(request: Seen, limit: int = 1000) -> Reply:
    """The value of an input is the length of its formula; `?` is no formula."""
    inputs = request.json["inputs"]
    if len(inputs) > limit:
        return Reply(422, {"code": "too_many_inputs", "detail": "Split it.", "limit": limit})
    good = [prediction(each["id"], len(each["composition"])) for each in inputs if each["composition"] != "?"]
    bad = [failure(each["id"]) for each in inputs if each["composition"] == "?"]
    if not good:
        return Reply(422, {"code": "no_usable_input", "detail": "None could be used.", "errors": bad})
    return Reply(body={"predictions": good, "errors": bad})


def test_order_and_names_over_many_requests() -> None:
    formulas = ["H" * (i % 7 + 1) for i in range(95)]
    with hostile_server(service) as server, Client(server.url) as client:
        answer = client.predict(formulas, chunk_size=10, parallel=4, properties=["band_gap"])
        assert [each.value for each in answer.predictions] == [len(formula) for formula in formulas]
        assert [each.input_id for each in answer.predictions] == [str(i) for i in range(95)]
        assert len(server.seen) == 10
        assert all(request.json["properties"] == ["band_gap"] for request in server.seen)


def test_a_bad_input_fails_alone_even_when_its_whole_request_does() -> None:
    inputs = [{"id": "good", "composition": "NaCl"}, {"id": "bad", "composition": "?"}]
    with hostile_server(service) as server, Client(server.url) as client:
        answer = client.predict(inputs, chunk_size=1)
        assert [each.input_id for each in answer.predictions] == ["good"]
        assert [(each.input_id, each.code) for each in answer.errors] == [("bad", "invalid_composition")]
        with pytest.raises(InputsFailed, match="bad: Which element"):
            client.predict(inputs, strict=True)


def test_names_may_repeat() -> None:
    with hostile_server(service) as server, Client(server.url) as client:
        answer = client.predict([{"id": "a", "composition": "H"}, {"id": "a", "composition": "HH"}])
        assert [(each.input_id, each.value) for each in answer.predictions] == [("a", 1), ("a", 2)]


def test_a_server_with_a_lower_limit_gets_smaller_requests() -> None:
    with hostile_server(lambda request: service(request, limit=4)) as server, Client(server.url) as client:
        assert len(client.predict(["NaCl"] * 10).predictions) == 10
        assert [len(request.json["inputs"]) for request in server.seen] == [10, 4, 4, 2]


def test_what_there_was_before_an_error_is_kept() -> None:
    def breaks(request: Seen) -> Reply:
        return service(request) if request.json["inputs"][0]["id"] in ("0", "2") else busy(503)

    with hostile_server(breaks) as server, Client(server.url, retry=QUICK) as client:
        with pytest.raises(ServerError) as raised:
            client.predict(["H"] * 8, chunk_size=2, parallel=1)
        assert raised.value.partial is not None
        assert [each.input_id for each in raised.value.partial.predictions] == ["0", "1", "2", "3"]


def test_requests_go_side_by_side() -> None:
    gate = threading.Barrier(3, timeout=10)

    def together(request: Seen) -> Reply:
        gate.wait()
        return service(request)

    with hostile_server(together) as server, Client(server.url) as client:
        assert len(client.predict(["H"] * 6, chunk_size=1, parallel=3).predictions) == 6


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with hostile_server(service) as server, Client(server.url) as client:
        client.predict(["H"] * 6, chunk_size=2, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_tables() -> None:
    frame = pd.DataFrame({"name": ["x", "y", "z"], "formula": ["NaCl", "?", math.nan]}, index=[5, 6, 7])
    with hostile_server(service) as server, Client(server.url) as client:
        result = client.predict_frame(frame)
        assert list(result.columns) == [
            "name", "formula", "band_gap", "band_gap_lower", "band_gap_upper", "band_gap_in_domain", "error",
        ]  # fmt: skip
        assert result.loc[5, "band_gap"] == 4 and result.loc[5, "band_gap_lower"] == 3
        assert result["band_gap"].isna().tolist() == [False, True, True]
        assert "Which element" in str(result.loc[6, "error"]) and "float" in str(result.loc[7, "error"])
        assert result.attrs["units"] == {"band_gap": "eV"} and "band_gap" not in frame
        with pytest.raises(UnusableInput, match="name the one"):
            client.predict_frame(frame.rename(columns={"formula": "stuff"}))
        rows = to_frame(client.predict(["NaCl", "?"]))
        assert rows["value"].tolist()[0] == 4 and rows["error_code"].tolist()[1] == "invalid_composition"
