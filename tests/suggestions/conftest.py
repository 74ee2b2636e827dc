from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import LimitSettings, Settings
from app.main import create_app
from tests.tiny_models import tiny_models

__all__ = ["tiny_models"]

torch.set_num_threads(1)

MAX_INPUTS = 40


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[TestClient]:
    """The whole application in this process, with small models and small limits."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        models_store=tiny_models,
        device="cpu",
        limits=LimitSettings(max_inputs_per_request=MAX_INPUTS),
    )
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client
