"""Log lines: JSON or readable, with the bound ids, without secrets."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from app.core.logging import PlainLines, configure_logging, get_logger


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json_lines_carry_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        get_logger("app.registry").info("model registered", model="cgcnn-band-gap")
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == "model registered"
    assert line["request_id"] == "req_1"
    assert line["model"] == "cgcnn-band-gap"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    logging.getLogger("uvicorn.error").warning("slow %s", "start")
    assert json.loads(capsys.readouterr().err)["event"] == "slow start"


def test_warnings_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logging.captureWarnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure_logging("INFO", "json")
        warnings.warn("an odd field", UserWarning, stacklevel=1)
    line = json.loads(capsys.readouterr().err)
    assert "an odd field" in line["event"] and line["logger"] == "py.warnings"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_hidden(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging("INFO", "json" if log_format == "json" else "console")
    get_logger("app").info("connected", url="postgresql://user:hunter2@host/db", api_key="hunter2")
    logging.getLogger("lib").warning("cannot reach redis://:hunter2@host:6379")
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert "host" in shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_in_tracebacks_and_nested_values_are_hidden(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging("INFO", "json" if log_format == "json" else "console")
    try:
        raise ConnectionError("no answer from postgresql://user:hunter2@host/db")
    except ConnectionError:
        get_logger("app").exception("failed", broker={"url": "redis://:hunter2@host"})
    shown = capsys.readouterr().err
    assert "hunter2" not in shown
    assert "no answer from postgresql://***@host/db" in shown


def test_errors_keep_their_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        get_logger("app").exception("failed")
    assert "ValueError: broken" in json.loads(capsys.readouterr().err)["exception"]


def test_quieter_levels_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "json")
    get_logger("app").info("detail")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "values",
    [
        {"method": "GET", "path": "/v1/models/a-b", "status": 200, "elapsed_s": 0.0123},
        {"method": "GET", "path": "/v1/models/a b", "status": None},
        {"path": "/redis://:hunter2@host", "token": "hunter2"},
        {"path": "/\n[31m", "text": "é", "list": [1]},
    ],
)
def test_plain_lines_are_what_the_usual_way_gives(
    capsys: pytest.CaptureFixture[str], log_format: str, values: dict[str, object]
) -> None:
    configure_logging("INFO", "json" if log_format == "json" else "console")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        get_logger("app.web").info("request", **values)
        PlainLines("app.web").info("request", **values)
    usual, plain = (_without_time(line, log_format) for line in capsys.readouterr().err.splitlines())
    assert plain == usual and "hunter2" not in str(plain)


def test_plain_lines_keep_to_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING", "console")
    PlainLines("app.web").info("request", path="/")
    assert capsys.readouterr().err == ""


def _without_time(line: str, log_format: str) -> object:
    if log_format == "console":
        time, rest = line.split(" ", 1)
        assert time.startswith("20") and time.endswith("Z")
        return rest
    shown = json.loads(line)
    assert shown.pop("timestamp").endswith("Z")
    return shown
