"""Magpie descriptors against those of bonds: the same regressors on the same rows of three properties.

    python benchmarks/bonding.py --data-kit DIR --seeds 5

Each seed draws whole formulas for training (of bulk moduli 625 rows, 500 + 125) and takes up to 1,000 rows of other
formulas for the test. Hyperparameters are chosen as the service does, by 5-fold cross-validation over the training
rows, folds by formula. What was measured is kept in OUT.json, so that a run that was stopped goes on; the tables are
in OUT.md.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from scipy import stats
from tqdm import tqdm

from app.learning.baselines.fitting import fit_baseline
from app.learning.baselines.methods import Baseline
from app.learning.descriptors.catalogue import Descriptor, describe
from app.learning.samples import composition_key
from app.learning.splits import split_rows
from app.learning.targets import TargetMap, apply_transform
from app.properties.catalogue import Transform
from app.structures.reader import read_structure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

METHODS = (Baseline.SVR, Baseline.EXTRA_TREES, Baseline.RANDOM_FOREST, Baseline.GRADIENT_BOOSTING)
DESCRIPTORS = (Descriptor.MAGPIE, Descriptor.BONDING)
MEAN = "mean of svr and extra_trees"
MAX_TEST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of one property; errors are on the learned scale, `unit`."""

    name: str
    file: str
    column: str
    transform: Transform
    n_train: int
    unit: str


TASKS = (
    Task("bulk modulus", "target_elastic_mp2020_6k.parquet", "K_VRH_GPa", Transform.LOG10, 625, "log10(K/GPa)"),
    Task(
        "dielectric constant", "target_dielectric_petousis2017_1056.parquet", "eps_total_poly", Transform.LOG10, 625,
        "log10(ε)",
    ),
    Task(
        "highest phonon peak", "target_phonons_1265.parquet", "last_phdos_peak_cm-1", Transform.IDENTITY, 900, "cm-1"
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """All usable rows of a task: descriptors, labels (n,) and formulas."""

    features: dict[Descriptor, npt.NDArray[np.float32]]
    labels: FloatArray
    formulas: list[str]


@cache
def table_of(task: Task, kit: Path) -> Table:
    """At most 3,000 rows, the first of a fixed random order; all can be described."""
    columns = pq.read_table(kit / task.file, columns=[task.column, "cif"]).to_pydict()
    labels = np.array(columns[task.column], dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(labels) & ((labels > 0) | (task.transform is Transform.IDENTITY)))
    rows = np.random.default_rng(0).permutation(usable)[:3000]
    crystals = [read_structure(columns["cif"][row]) for row in rows]
    features = {}
    for descriptor in DESCRIPTORS:
        features[descriptor], errors = describe(descriptor, crystals)
        assert not any(errors), f"{task.file} holds rows that cannot be described"
    return Table(features, labels[rows], [composition_key(crystal) for crystal in crystals])


def split(task: Task, formulas: list[str], seed: int) -> tuple[IntArray, IntArray]:
    """Training and test rows without a common formula."""
    parts = split_rows(formulas, "formula", task.n_train / len(formulas), 0.0, seed)
    return parts.train, np.random.default_rng(seed).permutation(parts.test)[:MAX_TEST_ROWS]


def measure(task: Task, kit: Path, seed: int, descriptor: Descriptor) -> dict[str, dict[str, float]]:
    """Test MAE and seconds of every method, and of the mean of two of them."""
    table = table_of(task, kit)
    train, test = split(task, table.formulas, seed)
    target_map = TargetMap.fit(table.labels[train], task.transform, "standard")
    labels = apply_transform(table.labels[test], task.transform)
    features = table.features[descriptor]
    found, predictions = {}, {}
    for method in METHODS:
        started = time.monotonic()
        fitted = fit_baseline(
            method, features[train], target_map.to_network(table.labels[train]), seed,
            [table.formulas[row] for row in train], descriptor=descriptor,
        )  # fmt: skip
        seconds = time.monotonic() - started
        predictions[method] = target_map.to_transformed(fitted.model(torch.from_numpy(features[test])).numpy())
        found[method.value] = {"mae": _mae(predictions[method], labels), "seconds": seconds}
    both = (predictions[Baseline.SVR] + predictions[Baseline.EXTRA_TREES]) / 2
    return found | {MEAN: {"mae": _mae(both, labels), "n_test": float(test.shape[0])}}


def _mae(predictions: FloatArray, labels: FloatArray) -> float:
    return float(np.abs(predictions - labels).mean())


def lines_of(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """A table of each task."""
    lines = []
    for task in TASKS:
        by_seed = {
            descriptor: {
                int(key.split("/")[1]): entry
                for key, entry in results.items()
                if key.startswith(f"{task.name}/") and key.endswith(f"/{descriptor}")
            }
            for descriptor in DESCRIPTORS
        }
        magpie, bonding = (by_seed[descriptor] for descriptor in DESCRIPTORS)
        seeds = sorted(magpie.keys() & bonding.keys())
        if not seeds:
            continue
        n_test = {int(bonding[seed][MEAN]["n_test"]) for seed in seeds}
        span = f"{min(n_test)} to {max(n_test)}" if len(n_test) > 1 else f"{min(n_test)}"
        lines += [
            f"## {task.name.capitalize()}", "",
            f"`{task.file}`, {task.n_train} training rows, {span} test rows, {len(seeds)} seeds; MAE in {task.unit}, "
            "mean ± standard deviation over seeds; paired t-test.", "",
            "| method | magpie | bonding | change | p | seconds, magpie | bonding |", "|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        lines += [_line(name, [magpie[s] for s in seeds], [bonding[s] for s in seeds]) for name in bonding[seeds[0]]]
        lines.append("")
    return lines


def report(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """All tables, under where and when they were measured."""
    lines = [
        "# Descriptors of bonds against Magpie descriptors",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores that did other work at the same time (seconds are",
        f"upper bounds), one thread, scikit-learn {version('scikit-learn')}:",
        "",
        "    python benchmarks/bonding.py --data-kit DIR",
        "",
        "Each seed draws whole formulas for training; no test row shares a formula with them. Hyperparameters are",
        "those that 5-fold cross-validation over the training rows prefers, as in the service; seconds are those of",
        "this choice and the fit.",
        "",
    ]
    return "\n".join(lines + lines_of(results)).rstrip() + "\n"


def _line(name: str, magpie: list[dict[str, dict[str, float]]], bonding: list[dict[str, dict[str, float]]]) -> str:
    first, second = (np.array([entry[name]["mae"] for entry in entries]) for entries in (magpie, bonding))
    digits = 1 if first.mean() > 1 else 4
    several = len(first) > 1
    shown = [
        f"{v.mean():.{digits}f} ± {v.std(ddof=1):.{digits}f}" if several else f"{v.mean():.{digits}f}"
        for v in (first, second)
    ]
    p = f"{stats.ttest_rel(first, second).pvalue:.2g}" if several else "-"
    seconds = [
        f"{np.median([entry[name]['seconds'] for entry in entries]):.0f}" if "seconds" in entries[0][name] else "-"
        for entries in (magpie, bonding)
    ]
    change = f"{100 * (second.mean() / first.mean() - 1):+.0f} %"
    return f"| {name} | {shown[0]} | {shown[1]} | {change} | {p} | {seconds[0]} | {seconds[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/bonding"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = options.out.with_suffix(".json")
    results = json.loads(kept.read_text())["results"] if kept.exists() else {}
    units = [(task, seed, each) for seed in range(options.seeds) for task in TASKS for each in DESCRIPTORS]
    for task, seed, descriptor in tqdm(units, file=sys.stderr):
        key = f"{task.name}/{seed}/{descriptor}"
        if key not in results:
            results[key] = measure(task, options.data_kit, seed, descriptor)
            kept.write_text(json.dumps({"results": results}, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(report(results))
            tqdm.write(f"{key} {results[key]}", file=sys.stderr)


if __name__ == "__main__":
    main()
