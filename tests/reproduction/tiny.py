"""A protocol of seconds: formation energies of rock salts, scratch against a mean-like baseline and a transfer."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.recipes import Recipe
from app.learning.splits import Split
from app.learning.tables import TrainingTable
from app.registry.manifest import Architecture
from app.reproduction.protocols import Measure, Protocol, Published, Source, System, Target, TrialData
from tests.crystals import rocksalt

PAIRS = [(a, x) for a in ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba") for x in ("F", "Cl", "Br", "I", "O", "S")]
DATA_FILE = "energies.txt"
FEW = Hyperparameters(max_epochs=2, batch_size=8)
SYSTEMS = (
    System("scratch", Method.SCRATCH, Architecture.CGCNN, FEW),
    System("transfer", Method.FINE_TUNE, Architecture.CGCNN, FEW, "shipped"),
    System("transfer", Method.FINE_TUNE, Architecture.CGCNN, FEW, "strict", strict=True),
    System("pls", Method.PLS, Architecture.BASELINE),
)


class Tiny(Protocol):
    def data(self, target: Target, seed: int, kit: Path) -> TrialData:
        items = [rocksalt(4.2 + 0.05 * i, a, x) for i, (a, x) in enumerate(PAIRS)]
        scale = float((kit / DATA_FILE).read_text())
        order = np.random.default_rng(seed).permutation(len(items))[: target.n_rows]
        labels = np.array([-200.0 * scale / items[row].volume for row in order])
        parts = np.split(np.arange(target.n_rows), [target.n_train, target.n_train + target.n_val])
        table = TrainingTable([items[row] for row in order], labels, ["".join(PAIRS[row]) for row in order])
        return TrialData(f"{target.name} {seed}", table, Split(*parts))


def make(quick: bool) -> Protocol:
    measure = Measure("mae", "MAE", "eV/atom")
    target = Target(
        "24-salts", "formation_energy_per_atom", 24, 8, 8, 2, (DATA_FILE,), SYSTEMS, (measure,),
        {"mae": {"scratch": Published(0.5, 0.1)}}, ("scratch",), "salts",
    )  # fmt: skip
    more = replace(target, name="32-salts", n_train=32, published={})
    return Tiny(
        name="tiny",
        title="Tiny",
        citation="Nobody 2021",
        targets=(target,) if quick else (target, more),
        sources={"shipped": Source("cgcnn-formation-energy/1"), "strict": Source(recipe=no_recipe)},
        notes=("A note.",),
    )


def no_recipe(_: Path) -> Recipe:
    raise AssertionError("nobody trains this source")
