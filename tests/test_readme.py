"""The README's tables are those of the code and of the shipped models."""

import json
import re

import pytest

from app.core.settings import PROJECT_ROOT, Settings
from app.learning.methods import METHODS
from app.properties.catalogue import CATALOGUE
from app.registry.manifest import MANIFEST_FILE, Manifest

README = (PROJECT_ROOT / "README.md").read_text()
MODELS = {
    f"{path.parent.parent.name}/{path.parent.name}": Manifest.model_validate_json(path.read_text())
    for path in sorted((PROJECT_ROOT / "models_store").glob(f"*/*/{MANIFEST_FILE}"))
}


def row_of(first_cell: str) -> list[str]:
    """Cells of the table row that begins with this cell."""
    found = re.search(rf"^\| `?{re.escape(first_cell)}`? \|(.*)\|$", README, re.MULTILINE)
    assert found, f"README has no row for {first_cell}"
    return [cell.strip() for cell in found.group(1).split("|")]


@pytest.mark.parametrize("key", CATALOGUE)
def test_properties(key: str) -> None:
    unit, definition = row_of(key)
    assert (unit, definition) == (CATALOGUE[key].unit, CATALOGUE[key].definition)


@pytest.mark.parametrize("reference", MODELS)
def test_shipped_models(reference: str) -> None:
    manifest = MODELS[reference]
    kind, key, unit, mae, n_test, _, n_train = row_of(reference)
    test = manifest.metrics.test
    assert test is not None
    assert (kind, key, unit) == (manifest.input_kind, f"`{manifest.property.key}`", manifest.property.unit)
    assert mae == f"{test.mae:.4f}"
    assert (int(n_test.replace(",", "")), int(n_train.replace(",", ""))) == (test.n, manifest.training.n_train)


@pytest.mark.parametrize("name", [info.name.value for info in METHODS])
def test_methods(name: str) -> None:
    assert row_of(name)


GROUPS = ("jobs", "limits", "bulk", "inference", "access", "webhooks", "upkeep")


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name not in GROUPS])
def test_settings(name: str) -> None:
    assert row_of(f"XTALFORGE_{name.upper()}")


def test_the_first_answer_is_what_the_service_answers() -> None:
    block = re.search(r"```json\n(.*?)\n```", README, re.DOTALL)
    assert block
    prediction = json.loads(block.group(1))["predictions"][0]
    model = MODELS[f"{prediction['model']['name']}/{prediction['model']['version']}"]
    assert prediction["model"]["sha256"] == model.weights_sha256
    assert prediction["unit"] == model.property.unit
