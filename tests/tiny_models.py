"""Real models that learned almost nothing, quickly: for tests of everything around the numbers."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.presets import resolve_hyperparameters
from app.learning.release import write_model
from app.learning.training_job import TrainingSpec, TrainingTable, train_model
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, PropertyRecord
from app.structures.composition import parse_composition
from app.structures.crystal import Crystal
from tests.crystals import rocksalt

ENERGY_MODEL = "cgcnn-formation-energy"
GAP_MODEL = "cgcnn-band-gap"
COMPOSITION_MODEL = "elemnet-formation-energy"
CATIONS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ti")
ANIONS = ("F", "Cl", "O", "S")


def salts() -> list[Crystal]:
    """28 rock salts, with their anion at 4.2 to 6.3 Å."""
    pairs = enumerate((cation, anion) for cation in CATIONS for anion in ANIONS)
    return [rocksalt(4.2 + 0.075 * i, cation, anion) for i, (cation, anion) in pairs]


def write_tiny_models(folder: Path) -> None:
    """Two structure models and a composition model in the layout of `models_store`."""
    _train(folder, ENERGY_MODEL, Architecture.CGCNN, "formation_energy_per_atom")
    _train(folder, GAP_MODEL, Architecture.CGCNN, "band_gap")
    _train(folder, COMPOSITION_MODEL, Architecture.ELEMNET, "formation_energy_per_atom")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `models_store` with these models; import it into a conftest to use it."""
    folder = tmp_path_factory.mktemp("models_store")
    write_tiny_models(folder)
    return folder


def _train(folder: Path, name: str, architecture: Architecture, property_key: str) -> None:
    crystals = salts()
    is_structure = architecture is Architecture.CGCNN
    table = TrainingTable(
        items=crystals if is_structure else [parse_composition(crystal.reduced_formula) for crystal in crystals],
        targets=np.linspace(0.5, 3.0, len(crystals)),
        row_ids=[crystal.reduced_formula for crystal in crystals],
    )
    spec = TrainingSpec(
        name=name,
        method=Method.SCRATCH,
        architecture=architecture,
        property=PropertyRecord.of(get_property(property_key)),
        seed=1,
        hyperparameters=resolve_hyperparameters(
            architecture, Method.SCRATCH, Hyperparameters(max_epochs=1), len(crystals)
        ),
        dataset_name="rock salts",
    )
    with tempfile.TemporaryDirectory() as work_dir:
        model = train_model(table, spec, None, None, Path(work_dir), lambda _: None, lambda: False)
    write_model(model, folder / name / "1")
