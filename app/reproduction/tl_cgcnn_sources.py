"""Sources for the reproduction of Lee & Asahi 2021: shipped ones, others trained as in the paper, strict ones."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from app.learning.hyperparameters import Hyperparameters
from app.learning.recipes import RECIPES, Recipe
from app.reproduction.protocols import Source
from app.reproduction.tl_cgcnn_rows import POOLS, SOURCE_FILE, pool_formulas

_TRAIN_SHARE = 0.85
_SHIPPED = {"dEf": "cgcnn-formation-energy/1", "NM-Eg": "cgcnn-band-gap-nonmetal/1"}
_VAL_SHARE = 0.05
UNLABELLED = "no-label"
"""A source whose representation has seen the structures of the others, and no label."""
_EPOCHS = 120
_AS_IN_THE_PAPER = Hyperparameters(
    preset="paper",
    split="formula_hash",
    train_fraction=_TRAIN_SHARE,
    val_fraction=_VAL_SHARE,
    max_epochs=_EPOCHS,
    patience=_EPOCHS,
)
"""The paper's own training, ended 20 epochs after its learning rate falls.

Its optimiser matters: weights that AdamW has trained are 4 to 7 times as large as those of SGD, and under batch
normalisation the paper's rate then hardly turns them.
"""
_MAX_SITES = {"dEf": 20, "NM-Eg": 28}
"""Largest cells of the small sources: a third of the time of all. Of fewer gaps are enough rows left when strict."""


def _recipe(name: str, kind: str, n_train: int | None, strict: bool, as_shipped: bool, kit: Path) -> Recipe:
    """The shipped model's recipe, or the paper's; on all rows or fewer, with or without the formulas of all targets."""
    recipe = RECIPES[_SHIPPED[kind]]
    rows = recipe.rows
    if strict:
        files = tuple(sorted({pool.file for pool in POOLS.values()} - {SOURCE_FILE}))
        # Trials of gaps and energies share their rows.
        rows = replace(rows, without_formulas_of=files, without_formulas=pool_formulas(POOLS["band_gap"], kit))
    recipe = replace(
        recipe,
        name=name,
        version=1,
        rows=rows,
        description=f"{recipe.description} A source for the reproduction of Lee & Asahi 2021.",
    )
    if n_train is not None:
        rows = replace(rows, n_rows=round(n_train / _TRAIN_SHARE), max_sites=_MAX_SITES[kind])
    return recipe if as_shipped else replace(recipe, rows=rows, network={}, hyperparameters=_AS_IN_THE_PAPER)


def _source(name: str, kind: str, n_train: int | None, strict: bool, as_shipped: bool) -> Source:
    make: Callable[[Path], Recipe] = partial(_recipe, name, kind, n_train, strict, as_shipped)
    return Source(recipe=make)


def _all_sources() -> dict[str, Source]:
    found = {UNLABELLED: Source(shipped="cgcnn-denoising/1")}
    for kind, shipped in _SHIPPED.items():
        found[f"all-{kind}"] = Source(shipped=shipped)
        found[f"all-{kind}-strict"] = _source(f"all-{kind}-strict", kind, None, True, True)
        for name, n_train in ((f"all-{kind}-SGD", None), (f"10k-{kind}", 10_000)):
            found[name] = _source(name, kind, n_train, False, False)
            found[f"{name}-strict"] = _source(f"{name}-strict", kind, n_train, True, False)
    return found


SOURCES = _all_sources()
"""By name: no-label; all-dEf, all-dEf-SGD and 10k-dEf, each also `-strict`, and the same of the gaps of non-metals."""
