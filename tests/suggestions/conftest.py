import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient

from app.core.db import upgrade_to_head
from app.core.settings import LimitSettings, Settings
from app.main import create_app
from app.registry.manifest import MANIFEST_FILE
from tests.tiny_models import COMPOSITION_MODEL, ENERGY_MODEL, tiny_models

__all__ = ["tiny_models"]

torch.set_num_threads(1)

MAX_INPUTS = 40
UNCALIBRATED = "without-intervals"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_models: Path) -> Path:
    """The small models, and one that knows nothing of its errors."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_models, folder, dirs_exist_ok=True)
    bare = folder / UNCALIBRATED / "1"
    shutil.copytree(folder / COMPOSITION_MODEL / "1", bare)
    manifest = json.loads((bare / MANIFEST_FILE).read_text())
    (bare / MANIFEST_FILE).write_text(json.dumps({**manifest, "name": UNCALIBRATED, "trust": None}))
    return folder


@pytest.fixture(scope="session")
def known_formulas(models: Path) -> tuple[list[str], list[str]]:
    """What the structure model was trained on, and what it was chosen and measured by."""
    from app.learning.predictor import Predictor
    from app.registry.manifest import Manifest

    folder = models / ENERGY_MODEL / "1"
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    parts = [(folder / f"{name}.safetensors").read_bytes() for name in ("weights", "trust")]
    trust = Predictor.from_bytes(manifest, *parts).trust
    assert trust is not None and len(trust.reference.formulas) == manifest.training.n_train
    return list(trust.reference.formulas), list(trust.held_out.formulas)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[TestClient]:
    """The whole application in this process, with small models and small limits."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        models_store=models,
        device="cpu",
        limits=LimitSettings(max_inputs_per_request=MAX_INPUTS),
    )
    upgrade_to_head(settings.resolved_database_url)
    with TestClient(create_app(settings)) as client:
        yield client
