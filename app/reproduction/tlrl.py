"""Gupta, Liao, Choudhary & Agrawal 2024: formation energies of JARVIS with ElemNet, with and without OQMD."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.recipes import RECIPES, Recipe
from app.learning.splits import Split
from app.learning.tables import TrainingTable
from app.registry.manifest import Architecture
from app.reproduction.protocols import Measure, Protocol, Published, Source, System, Target, TrialData, quickly
from app.structures.composition import parse_composition

FILE = "target_jarvis_composition_eform_28k.parquet"
SEED = 12345
"""Of the paper's splits."""
N_FOLDS = 10
PAPER_SOURCE, STRICT_SOURCE = "oqmd", "oqmd-strict"
SCRATCH, DEFAULT_SCRATCH = "SC:DL(EF), paper", "SC:DL(EF), default"

_SHIPPED = "elemnet-formation-energy/1"
_SOURCE_EPOCHS = 25
_N_DEVELOPMENT, _N_TEST = 22_685, 2_529
_N_FOLD = _N_DEVELOPMENT // N_FOLDS
_N_VAL_OF_FOLD = 1_134
_PATIENCE, _MOST_EPOCHS = 20, 150
_BATCH, _RATE = 256, 3e-4
_TRIALS, _SEARCH_FOLDS = 10, 3
_QUICK_ROWS = (240, 40, 40)

_PUBLISHED_CV = {
    "SC:DL(EF)": (0.135, 0.007),
    "SC:DL(PA)": (0.167, 0.005),
    "SC:ML(EF)": (0.206, 0.011),
    "SC:ML(PA)": (0.141, 0.005),
    "TL:Fine-Tune": (0.121, 0.007),
    "RL:Freezing": (0.230, 0.008),
    "RL:DL(ReLU)": (0.128, 0.005),
    "RL:DL(Dense)": (0.118, 0.006),
    "TL+RL:DL(ReLU)": (0.124, 0.006),
    "TL+RL:DL(Dense)": (0.117, 0.005),
}
_PUBLISHED_TEST = {"SC:DL(EF)": 0.142, "RL:DL(Dense)": 0.123, "TL+RL:DL(Dense)": 0.121}

_NETWORKS: tuple[tuple[str, Method], ...] = (
    ("SC:DL(EF)", Method.SCRATCH),
    ("SC:DL(PA)", Method.SCRATCH),
    ("TL:Fine-Tune", Method.FINE_TUNE),
    ("RL:Freezing", Method.FREEZE),
    ("RL:DL(ReLU)", Method.RL_RELU),
    ("RL:DL(Dense)", Method.RL_DENSE),
    ("TL+RL:DL(ReLU)", Method.TLRL_RELU),
    ("TL+RL:DL(Dense)", Method.TLRL_DENSE),
)
_SEARCHES = (("SC:ML(EF)", Method.AUTOML_FRACTIONS), ("SC:ML(PA)", Method.AUTOML_ATTRIBUTES))

_NOTES = (
    f"Rows: the data kit's {_N_DEVELOPMENT + _N_TEST:,} of the paper's 28,171, with the split published for them: "
    f"{_N_TEST:,} test rows, the others for development. 8 % of the test rows have a formula that training rows have "
    "too (other polymorphs), 77 % of all rows one that OQMD has. Strict: the source has seen none of these formulas.",
    f"`cv`: ten folds of the development rows (seed {SEED}), each predicted by a network that saw neither it nor used "
    f"it to choose an epoch or a layer; {_N_VAL_OF_FOLD:,} other rows do that. In the paper the fold that measures "
    "also stops the training. `hold-out`: the test rows, 90 % of the development rows train and 10 % choose, dealt "
    "anew for each seed; the mean over seeds stands here, where the paper takes the one of ten networks with the "
    "lowest validation error. Its test errors stand in the lines that its text names, not in those of its table.",
    "`paper`: 17 layers, Adam at a constant rate, MAE, no dropout, all of which the paper or its code says. Its code's "
    f"batches of 32 at 1e-4, up to thousands of epochs with a patience of 100 to 200, are {_BATCH} at {_RATE:g} here "
    f"(the rate grows with the root of the batch), a patience of {_PATIENCE} and at most {_MOST_EPOCHS} epochs, in "
    "bfloat16. Representations are those of layer 1: trying four would cost four trainings.",
    "`default`: AdamW, one cycle; see `app/learning/preset_tables.py`. Layers 1 to 4 are compared on validation rows. "
    "In TL+RL the first layer starts as the linear map of the features that gives back the source's first layer.",
    f"SC:ML: {_TRIALS} models compared by {_SEARCH_FOLDS}-fold cross-validation on 8,000 rows, the best fitted to all.",
    f"Sources: `oqmd` is the shipped model (50 epochs), `oqmd-strict` the same recipe without the formulas of JARVIS, "
    f"{_SOURCE_EPOCHS} epochs.",
)


class JarvisFormation(Protocol):
    def data(self, target: Target, seed: int, kit: Path) -> TrialData:
        table, is_test = _table(kit / FILE)
        development, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
        if target.series == "cv":
            folds = np.array_split(np.random.default_rng(SEED).permutation(development), N_FOLDS)
            test = folds[seed]
            rest = np.concatenate([fold for number, fold in enumerate(folds) if number != seed])
        else:
            rest = development
        rest = np.random.default_rng([SEED, seed]).permutation(rest)
        train, val = rest[target.n_val :][: target.n_train], rest[: target.n_val]
        if target.n_test < _N_FOLD:
            test = test[: target.n_test]
        return TrialData("jarvis", table, Split(np.sort(train), np.sort(val), np.sort(test)))


def make(quick: bool) -> Protocol:
    """Table II. `quick`: a few hundred rows, few epochs, from the shipped source."""
    targets = [_hold_out(), _cross_validation()]
    return JarvisFormation(
        name="tlrl",
        title="Transfer and representation learning with ElemNet",
        citation="V. Gupta, W. Liao, A. Choudhary, A. Agrawal (2024)",
        targets=tuple(_quick(each) for each in targets) if quick else tuple(targets),
        sources={
            PAPER_SOURCE: Source(shipped=_SHIPPED),
            STRICT_SOURCE: Source(recipe=strict_recipe, note="no formula of JARVIS"),
        },
        notes=_NOTES,
    )


def strict_recipe(_kit: Path) -> Recipe:
    """The shipped model's recipe without any formula of the target's file."""
    recipe = RECIPES[_SHIPPED]
    epochs = {"max_epochs": _SOURCE_EPOCHS, "patience": _SOURCE_EPOCHS}
    return replace(
        recipe,
        name=STRICT_SOURCE,
        version=1,
        description=f"{recipe.description} Without the formulas of JARVIS: for reproducing Gupta 2024.",
        rows=replace(recipe.rows, without_formulas_of=(FILE,)),
        hyperparameters=recipe.hyperparameters.model_copy(update=epochs),
    )


def _cross_validation() -> Target:
    n_train = _N_DEVELOPMENT - _N_FOLD - _N_VAL_OF_FOLD
    published = {line: Published(*figures) for line, figures in _PUBLISHED_CV.items()}
    return _target("cv", n_train, _N_VAL_OF_FOLD, _N_FOLD, published)


def _hold_out() -> Target:
    n_val = _N_DEVELOPMENT // 10
    published = {line: Published(mean) for line, mean in _PUBLISHED_TEST.items()}
    return _target("hold-out", _N_DEVELOPMENT - n_val, n_val, _N_TEST, published)


def _target(name: str, n_train: int, n_val: int, n_test: int, published: dict[str, Published]) -> Target:
    lines = {line if line.startswith("SC:ML") else f"{line}, paper": each for line, each in published.items()}
    return Target(
        name=name,
        property_key="formation_energy_per_atom",
        n_train=n_train,
        n_val=n_val,
        n_test=n_test,
        n_trials=N_FOLDS,
        files=(FILE,),
        systems=tuple(_systems()),
        measures=(Measure("mae", "MAE", "eV/atom", decimals=4),),
        published={"mae": lines},
        references=(SCRATCH, DEFAULT_SCRATCH),
        series=name,
        is_cross_validation=name == "cv",
    )


def _systems() -> list[System]:
    """In the order in which they should be run."""
    default = Hyperparameters(preset="default", precision="bfloat16")
    paper = Hyperparameters(
        preset="paper", batch_size=_BATCH, learning_rate=_RATE, patience=_PATIENCE, max_epochs=_MOST_EPOCHS,
        precision="bfloat16",
    )  # fmt: skip
    searched = Hyperparameters(preset="paper", n_trials=_TRIALS, n_folds=_SEARCH_FOLDS)
    found = [*_networks("default", default), *_networks("paper", paper)]
    strict = [replace(each, source=STRICT_SOURCE, strict=True) for each in found if each.source is not None]
    searches = [System(line, method, Architecture.BASELINE, searched) for line, method in _SEARCHES]
    return [*found, *strict, *searches]


def _networks(preset: str, chosen: Hyperparameters) -> list[System]:
    systems = []
    for line, method in _NETWORKS:
        on_features = method.value.startswith(("rl_", "tlrl_"))
        changes: dict[str, object] = {}
        if method is Method.SCRATCH:
            changes["features"] = "physical_attributes" if "PA" in line else "elemental_fractions"
        if on_features and preset == "paper":
            changes["layer"] = 1
        systems.append(
            System(
                f"{line}, {preset}",
                method,
                Architecture.ELEMNET_REPRESENTATION if on_features else Architecture.ELEMNET,
                chosen.model_copy(update=changes),
                source=None if method is Method.SCRATCH else PAPER_SOURCE,
            )
        )
    return systems


def _quick(target: Target) -> Target:
    n_train, n_val, n_test = _QUICK_ROWS
    systems: Sequence[System] = [each for each in target.systems if not each.strict]
    return replace(
        target, n_train=n_train, n_val=n_val, n_test=n_test, n_trials=2, systems=tuple(quickly(s) for s in systems)
    )  # fmt: skip


@cache
def _table(path: Path) -> tuple[TrainingTable, npt.NDArray[np.bool_]]:
    """All rows of the file, and which of them are the paper's test rows."""
    columns = pq.read_table(path).to_pydict()
    table = TrainingTable(
        items=[parse_composition(formula) for formula in columns["formula"]],
        targets=np.asarray(columns["formation_energy_eV_per_atom"], dtype=np.float64),
        row_ids=columns["material_id"],
    )
    return table, np.array([part == "test" for part in columns["paper_split"]])
