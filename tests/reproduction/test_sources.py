"""Sources that are trained for a reproduction."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.errors import InvalidRequest
from app.learning.recipes import RECIPES
from app.learning.source_rows import file_digest
from app.registry.manifest import MANIFEST_FILE, Manifest
from app.reproduction.protocols import Protocol, Source
from app.reproduction.sources import train_source
from app.reproduction.trials import Places, source_folder
from tests.reproduction.tiny import make

SHIPPED = "cgcnn-formation-energy/1"


@pytest.fixture
def there(places: Places) -> tuple[Protocol, Path]:
    """A protocol, and the manifest of its source, trained on the file that is in the kit."""
    recipe = replace(RECIPES[SHIPPED], name="strict", file="energies.txt")
    protocol = replace(make(quick=True), sources={"strict": Source(recipe=lambda _: recipe)})
    folder = source_folder(protocol.sources["strict"], "strict", places)
    folder.mkdir(parents=True)
    told = json.loads((places.models / SHIPPED / MANIFEST_FILE).read_text())
    told["training"]["dataset_sha256"] = file_digest(places.kit / recipe.file)
    (folder / MANIFEST_FILE).write_text(json.dumps(told))
    return protocol, folder / MANIFEST_FILE


def _train(protocol: Protocol, places: Places) -> Manifest:
    return train_source(protocol, "strict", places, "cpu", lambda _: None, lambda *_: None, places.work)


def test_a_source_that_is_there_is_not_trained_again(there: tuple[Protocol, Path], places: Places) -> None:
    assert _train(there[0], places).name == "cgcnn-formation-energy"


def test_a_source_of_other_data_is_not_taken_for_this_one(there: tuple[Protocol, Path], places: Places) -> None:
    (places.kit / "energies.txt").write_text("2.0")
    with pytest.raises(InvalidRequest, match=r"another energies\.txt\. Move that folder away"):
        _train(there[0], places)


def test_a_source_trained_otherwise_is_not_taken_for_this_one(there: tuple[Protocol, Path], places: Places) -> None:
    told = json.loads(there[1].read_text())
    told["training"]["hyperparameters"] |= {"split": "random"}
    there[1].write_text(json.dumps(told))
    with pytest.raises(InvalidRequest, match="another split"):
        _train(there[0], places)
