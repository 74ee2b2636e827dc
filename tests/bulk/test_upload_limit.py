"""Uploads of bulk predictions may be larger than other bodies; nothing else may."""

from pathlib import Path

from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import BulkSettings, InferenceSettings, LimitSettings, Settings
from app.main import create_app
from tests.bulk.conftest import URL


def test_the_limit_on_uploads_is_one_of_the_path(tmp_path: Path, tiny_models: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, models_store=tiny_models, device="cpu", broker_url="redis://127.0.0.1:9/0",
        limits=LimitSettings(max_upload_bytes=10_000), bulk=BulkSettings(max_upload_bytes=100_000),
        inference=InferenceSettings(pool_size=0),
    )  # fmt: skip
    upgrade_to_head(settings.resolved_database_url)
    rows = b"composition\n" + b"NaCl\n" * 10_000
    with TestClient(create_app(settings)) as client:
        accepted = client.post(URL, files={"file": ("rows.csv", rows)})
        assert accepted.status_code == 201, accepted.text
        assert client.post(URL, files={"file": ("rows.csv", rows * 10)}).status_code == 413
        refused = client.post("/v1/datasets", files={"file": ("rows.csv", rows)}, data={"property": "k_vrh"})
        assert refused.status_code == 413
        assert client.post(URL, json={"dataset_id": "x" * 20_000}).status_code == 413
        assert client.post(URL, files={"fil": ("rows.csv", rows)}).json()["code"] == "invalid_request"
