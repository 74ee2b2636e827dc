"""Runs that are trained together give what each gives alone; rows split beforehand stay as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.learning.graphs.settings import GraphSettings
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.side_by_side import train_together, trains_in_lock_step
from app.learning.splits import Split
from app.learning.tables import PreparedTable, prepare
from app.learning.training_job import TrainedModel, open_run, train_model
from app.registry.manifest import Architecture
from tests.learning.test_strategies import FEW, crystals, spec


def rows_of(seed: int) -> PreparedTable:
    """All rows, 30 / 8 / 10 of them drawn by the seed."""
    prepared = prepare(crystals(), GraphSettings())
    order = np.random.default_rng(seed).permutation(len(prepared.labels))
    return replace(prepared, split=Split(*(np.sort(part) for part in np.split(order, [30, 38]))))


def alone(seed: int, folder: Path) -> TrainedModel:
    job = spec(Method.SCRATCH, Architecture.CGCNN, seed=seed, **FEW)
    return train_model(rows_of(seed), job, None, None, folder / str(seed), lambda _: None, lambda: False)


@pytest.mark.parametrize("in_lock_step", [False, True])
def test_together_as_alone(in_lock_step: bool, tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1, 2):
        job = spec(Method.SCRATCH, Architecture.CGCNN, seed=seed, **FEW)
        runs.append(open_run(rows_of(seed), job, None, None, tmp_path, lambda _: None, lambda: False))
    together = train_together(runs, [None] * 3, tmp_path / "together", lambda *_: None, in_lock_step)
    for seed, model in enumerate(together):
        single = alone(seed, tmp_path)
        np.testing.assert_array_equal(model.test_rows, single.test_rows)
        np.testing.assert_allclose(model.test_predictions, single.test_predictions, rtol=1e-3, atol=1e-4)
        assert model.manifest.training.best_epoch == single.manifest.training.best_epoch


def test_a_given_split_is_the_split(tmp_path: Path) -> None:
    model = alone(3, tmp_path)
    split = rows_of(3).split
    assert split is not None
    np.testing.assert_array_equal(model.test_rows, split.test)
    record = model.manifest.training
    assert (record.n_train, record.n_val, record.n_test) == (30, 8, 10)
    assert record.split == "given with the rows"


def test_a_state_of_other_rows_is_not_gone_on_from(tmp_path: Path) -> None:
    job = spec(Method.SCRATCH, Architecture.CGCNN, **FEW)
    keys = {
        open_run(rows_of(seed), job, None, None, tmp_path, lambda _: None, lambda: False).run_key for seed in (0, 0, 1)
    }
    assert len(keys) == 2


def test_searches_are_not_one_descent() -> None:
    one = Hyperparameters(members=1)
    assert trains_in_lock_step(Architecture.CGCNN, one)
    assert not trains_in_lock_step(Architecture.CGCNN, Hyperparameters(members=5))
    assert not trains_in_lock_step(Architecture.BASELINE, Hyperparameters())
    assert not trains_in_lock_step(Architecture.ENSEMBLE, Hyperparameters())
    assert not trains_in_lock_step(Architecture.ELEMNET_REPRESENTATION, one.model_copy(update={"layer": "auto"}))
