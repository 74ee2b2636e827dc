"""Results survive crashes: torn lines are dropped, whole ones kept."""

import numpy as np
import pytest

from app.learning.evaluation import split_metrics
from app.properties.catalogue import Transform
from app.registry.manifest import Metrics
from app.reproduction.store import PREDICTIONS_FILE, TRIALS_FILE, Record, ResultStore, TestRows


def record(key: str, mae: float = 1.0) -> Record:
    metrics = split_metrics(np.zeros(3), np.full(3, mae), Transform.IDENTITY)
    return Record(
        key=key, trial={"seed": 0}, metrics=Metrics(test=metrics), device="cpu", machine="-", versions={}, at="now"
    )  # fmt: skip


def rows(n: int = 3) -> TestRows:
    return TestRows(np.linspace(0, 1, n), np.linspace(1, 2, n) * 1e5)


def test_what_is_put_in_comes_out(store: ResultStore) -> None:
    store.add(record("a", 0.25), rows())
    store.add(record("b"), None)
    found = store.records()
    assert list(found) == ["a", "b"]
    assert found["a"] == record("a", 0.25)
    kept = store.test_rows()
    assert list(kept) == ["a"]
    np.testing.assert_allclose(kept["a"].labels, rows().labels, rtol=1e-6)
    np.testing.assert_allclose(kept["a"].predictions, rows().predictions, rtol=1e-6)


def test_an_empty_store_holds_nothing(store: ResultStore) -> None:
    assert store.records() == {}
    assert store.test_rows() == {}


@pytest.mark.parametrize("name", [TRIALS_FILE, PREDICTIONS_FILE])
def test_a_torn_line_is_dropped_and_cut_off(store: ResultStore, name: str) -> None:
    store.add(record("a"), rows())
    store.add(record("b"), rows())
    path = store.folder / name
    path.write_bytes(path.read_bytes()[:-20])
    assert set(store.records()) | set(store.test_rows()) == {"a", "b"}
    assert len(store.records()) + len(store.test_rows()) == 3
    store.add(record("c"), rows())
    assert "c" in store.records()
    assert "c" in store.test_rows()
    assert path.read_bytes().endswith(b"\n")


def test_of_equal_keys_the_last_counts(store: ResultStore) -> None:
    store.add(record("a", 1.0), None)
    store.add(record("a", 2.0), None)
    metrics = store.records()["a"].metrics
    assert metrics is not None
    assert metrics.test is not None
    assert metrics.test.mae == pytest.approx(2.0)


def test_predictions_beyond_float32_stay_finite(store: ResultStore) -> None:
    store.add(record("absurd"), TestRows(np.array([294.0]), np.array([1e100])))
    kept = store.test_rows()["absurd"]
    assert kept.labels[0] == 294.0 and 1e38 < kept.predictions[0] < 1e39
