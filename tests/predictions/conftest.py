from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from sqlalchemy.orm import sessionmaker

from app.core.db import upgrade_to_head
from app.core.settings import LimitSettings, Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.learning.engine import InferenceEngine
from app.main import create_app
from app.predictions.directory import ModelDirectory
from app.predictions.examples import NACL_CIF
from app.predictions.featuriser import Featuriser
from app.predictions.inputs import RawInput, StructureText
from app.predictions.selection import SelectedModel
from app.predictions.service import PredictionService
from app.registry.store import ArtifactStore
from tests.tiny_models import ENERGY_MODEL, tiny_models

__all__ = ["tiny_models"]

torch.set_num_threads(1)

MAX_INPUTS = 20


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Iterator[TestClient]:
    """The whole application in this process, with small models and small limits."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        models_store=tiny_models,
        device="cpu",
        limits=LimitSettings(max_inputs_per_request=MAX_INPUTS, max_upload_bytes=1_000_000),
    )
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def energy(client: TestClient) -> list[SelectedModel]:
    """The model of energies, chosen."""
    return _directory(client).select([ENERGY_MODEL], None)


@pytest.fixture
def service(client: TestClient) -> PredictionService:
    """The application's models in this process; that of energies is in memory."""
    service = PredictionService(_directory(client), InferenceEngine(), LimitSettings(), Featuriser())
    service.predict([RawInput("x", StructureText(NACL_CIF))], [ENERGY_MODEL])
    return service


def _directory(client: TestClient) -> ModelDirectory:
    get = client.app.state.resources.get  # type: ignore[attr-defined]
    return ModelDirectory(of_tenant(get(sessionmaker), OPERATOR_SCOPE), get(ArtifactStore))
