"""Settings refuse nonsense at start, with the reason."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.core.settings import Settings


def test_defaults_need_nothing(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.resolved_database_url == f"sqlite:///{tmp_path / 'xtalforge.db'}"
    assert settings.resolved_store_url == (tmp_path / "store").as_uri()
    assert settings.resolved_broker_url == "redis://127.0.0.1:6379/0"


def test_groups_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XTALFORGE_JOBS__LEASE_S", "90")
    monkeypatch.setenv("XTALFORGE_LOG_LEVEL", "debug")
    monkeypatch.setenv("XTALFORGE_DATABASE_URL", "postgres://user:word@host/name")
    settings = Settings()
    assert settings.jobs.lease_s == 90
    assert settings.log_level == "DEBUG"
    assert settings.resolved_database_url == "postgresql+psycopg://user:word@host/name"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_URL", "mysql://host/name", "sqlite:/// or postgresql://"),
        ("DATABASE_URL", "sqlite://", "must name a file"),
        ("DATABASE_URL", "sqlite:///:memory:", "must name a file"),
        ("BROKER_URL", "amqp://host", "redis://"),
        ("STORE_URL", "/data/store", "file:/// or s3://"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("JOBS__LEASE_S", "20", "at least twice"),
        ("JOBS__LEASE", "20", "Extra inputs are not permitted"),
        ("LIMITS__MAX_UPLOAD_BYTES", "-1", "greater than 0"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str) -> None:
    monkeypatch.setenv(f"XTALFORGE_{name}", value)
    with pytest.raises(ValidationError, match=reason):
        Settings()


def test_credentials_stay_out_of_the_representation_and_of_errors() -> None:
    assert "word" not in repr(Settings(database_url="postgresql://user:word@host/name"))
    with pytest.raises(ValidationError) as caught:
        Settings(database_url="mysql://user:word@host/name", broker_url="amqp://user:word@host")
    assert "word" not in str(caught.value)


def test_every_setting_is_described() -> None:
    fields = {**Settings.model_fields}
    for group in ("jobs", "limits", "bulk", "inference"):
        fields |= type(getattr(Settings(), group)).model_fields
    assert [name for name, field in fields.items() if not field.description] == []
