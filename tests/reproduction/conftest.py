from pathlib import Path

import pytest

from app.reproduction.protocols import Protocol
from app.reproduction.store import ResultStore
from app.reproduction.trials import Places
from tests.reproduction.tiny import DATA_FILE, make


@pytest.fixture
def places(tmp_path: Path) -> Places:
    kit = tmp_path / "kit"
    kit.mkdir()
    (kit / DATA_FILE).write_text("1.0")
    return Places(kit, Path("models_store"), tmp_path / "work")


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture
def protocol() -> Protocol:
    return make(quick=True)
