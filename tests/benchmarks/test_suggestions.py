"""The benchmark of suggestions, on rows made by hand: nothing but the labelled rows may speak."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.learning.trust.rows import fractions_of_keys
from app.properties.catalogue import Transform
from benchmarks import suggestions as benchmark


def table(n: int = 400) -> object:
    random = np.random.default_rng(1)
    formulas = [f"Li{1 + i % 7}O{1 + i % 11}" if i % 2 else f"Na{1 + i % 5}Cl{1 + i % 13}" for i in range(n)]
    features = random.normal(size=(n, 6)).astype(np.float32)
    labels = np.exp(features[:, 0].astype(float)) + 0.1 * random.random(n) + 0.1
    return benchmark.Table(features, labels, formulas, fractions_of_keys(formulas))


@pytest.mark.parametrize("strategy", ["batch", "uncertainty", "diversity", "target above", "target highest"])
def test_labels_that_are_not_known_change_nothing(strategy: str) -> None:
    whole = table()
    labelled, rest = np.arange(80), np.arange(80, 400)
    hidden = np.where(np.arange(400) < 80, whole.labels, 7.0)
    picks = [
        benchmark.choosers(2.0)[strategy](
            benchmark.pool_of(benchmark.fit(each, labelled, Transform.LOG10, 0), each, rest)
        )
        for each in (whole, replace(whole, labels=hidden))
    ]
    assert picks[0] == picks[1] and len({pick.candidate for pick in picks[0]}) == benchmark.N_ADDED


def test_strategies_start_alike_and_runs_can_be_repeated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = table()
    monkeypatch.setattr(benchmark, "table_of", lambda task, kit: whole)
    for name, size in (("N_FIRST", 60), ("N_ADDED", 20), ("N_ROUNDS", 1)):
        monkeypatch.setattr(benchmark, name, size)
    found = {name: benchmark.measure(benchmark.TASKS[0], tmp_path, 3, name) for name in ("random", "batch")}
    assert found["random"]["labels"] == found["batch"]["labels"] == [60.0, 80.0]
    assert found["random"]["mae"][0] == found["batch"]["mae"][0] and found["random"]["mae"] != found["batch"]["mae"]
    assert benchmark.measure(benchmark.TASKS[0], tmp_path, 3, "random") == found["random"]


def test_the_report_says_who_was_better() -> None:
    def entry(seed: int, end: float) -> dict[str, list[float]]:
        return {
            "labels": [100.0, 150.0], "mae": [1.0, end + 0.01 * seed], "top": [0.1, 0.2 + 0.01 * seed * end],
            "pool": [900.0], "test": [300.0],
        }  # fmt: skip

    task = benchmark.TASKS[1]
    results = {
        f"{task.name}/{seed}/{name}": entry(seed, 0.4 + 0.1 * seed if name == "batch" else 0.8)
        for seed in range(3)
        for name in benchmark.STRATEGIES
    }
    del results[f"{task.name}/2/diversity"]
    text = "\n".join(benchmark.lines_of(results))
    assert "pool of 900 rows, 300 test rows (first seed), 2 seeds" in text and benchmark.TASKS[0].file not in text
    assert "| batch | 1.0000 | 0.4550 | -43.5 % |" in text and "| random | 1.0000 | 0.8050 |" in text
