"""A misspelt setting is named at start, with the one that was probably meant."""

import pytest
from structlog.testing import capture_logs

from app.core.environment import settable, unknown_variables, warn_of_unknown_variables
from app.core.logging import get_logger
from app.core.settings import Settings


def test_settable_names_are_those_that_settings_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"XTALFORGE_PORT", "XTALFORGE_JOBS__LEASE_S", "XTALFORGE_DATA_KIT"} <= set(settable())
    monkeypatch.setenv("XTALFORGE_JOBS__LEASE_S", "91")
    assert Settings().jobs.lease_s == 91


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("XTALFORGE_API__PORT", ["XTALFORGE_PORT"]),
        ("XTALFORGE_MAX_UPLOAD_BYTES", ["XTALFORGE_BULK__MAX_UPLOAD_BYTES", "XTALFORGE_LIMITS__MAX_UPLOAD_BYTES"]),
        ("XTALFORGE_LEASE_S", ["XTALFORGE_JOBS__LEASE_S"]),
        ("XTALFORGE_DATABASE_UR", ["XTALFORGE_DATABASE_URL"]),
        ("xtalforge_devise", ["XTALFORGE_DEVICE"]),
        ("XTALFORGE_SERVICE_HOST", []),
    ],
)
def test_what_is_no_setting_is_found(name: str, meant: list[str]) -> None:
    assert unknown_variables({name: "1"}) == {name: meant}


def test_what_is_known_is_left_alone() -> None:
    known = ("XTALFORGE_PORT", "xtalforge_port", "XTALFORGE_URL", "XTALFORGE_JOBS", "XTALFORGE_ACCESS__KEYS", "PATH")
    assert unknown_variables(dict.fromkeys(known, "1")) == {}


def test_it_is_said_in_the_log_without_the_value() -> None:
    with capture_logs() as logs:
        warn_of_unknown_variables(get_logger(__name__), {"XTALFORGE_API_KEYS": "secret"})
    assert [(each["log_level"], each["variable"], each["did_you_mean"]) for each in logs] == [
        ("warning", "XTALFORGE_API_KEYS", "XTALFORGE_API_KEY")
    ]
    assert "secret" not in str(logs)
