"""What `suggest` is worth: test error against the number of labels, for each strategy and for a random choice.

    python benchmarks/suggestions.py --data-kit DIR --seeds 10

Each seed sets whole formulas aside for the test, draws 100 of the other rows as the first labels, the same for every
strategy, and then adds 50 labels five times, which the strategy picks. The model (support vectors on the descriptors,
hyperparameters by 5-fold cross-validation by formula) is made anew each time, and knows no other labels: its
difficulties and conformity scores come from the rows that cross-validation held out. What was measured is kept in
OUT.json, so that a run that was stopped goes on; OUT.md and OUT.png are made of it.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy import stats
from tqdm import tqdm

from app.learning.acquisition.pool import Pool
from app.learning.acquisition.ranking import Pick, representatives, suggest
from app.learning.acquisition.strategy import Optimum, Strategy
from app.learning.acquisition.target import Target
from app.learning.baselines.families import Family, Parameters
from app.learning.baselines.search import VectorProblem, Watch, cross_validate, make_folds
from app.learning.descriptors.catalogue import Descriptor, describe
from app.learning.samples import composition_key
from app.learning.splits import split_rows
from app.learning.targets import TargetMap, apply_transform
from app.learning.trust.assessment import Trust
from app.learning.trust.conformal import ScoreTable
from app.learning.trust.difficulty import Difficulty
from app.learning.trust.places import Places, Projection, composition_places, fractions_of_keys
from app.learning.trust.reference import Reference
from app.properties.catalogue import Transform
from app.structures.composition import parse_composition
from app.structures.reader import read_structure

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_FIRST, N_ADDED, N_ROUNDS = 100, 50, 5
MAX_ROWS, MAX_TEST = 3000, 1000
TOP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of one property; errors are on the learned scale, `unit`. Without `cif` the compositions are read."""

    name: str
    file: str
    column: str
    transform: Transform
    descriptor: Descriptor
    unit: str


TASKS = (
    Task(
        "bulk modulus", "target_elastic_mp2020_6k.parquet", "K_VRH_GPa", Transform.LOG10, Descriptor.BONDING,
        "log10(K/GPa)",
    ),
    Task(
        "highest phonon peak", "target_phonons_1265.parquet", "last_phdos_peak_cm-1", Transform.IDENTITY,
        Descriptor.BONDING, "cm-1",
    ),
    Task(
        "measured band gap", "target_expt_gap_composition_4604.parquet", "band_gap_expt_eV", Transform.IDENTITY,
        Descriptor.PHYSICAL_ATTRIBUTES, "eV",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """n rows of a task: descriptors, labels in the unit, formulas and atomic fractions."""

    features: npt.NDArray[np.float32]
    labels: FloatArray
    formulas: list[str]
    fractions: FloatArray


@dataclass(frozen=True, slots=True)
class Model:
    """Fitted to the labelled rows of a table."""

    target_map: TargetMap
    predict: Callable[[npt.NDArray[np.float32]], FloatArray]
    trust: Trust


@cache
def table_of(task: Task, kit: Path) -> Table:
    """At most 3,000 rows, the first of a fixed random order."""
    whole = pq.read_table(kit / task.file)
    labels = np.array(whole[task.column], dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(labels) & ((labels > 0) | (task.transform is Transform.IDENTITY)))
    rows = np.random.default_rng(0).permutation(usable)[:MAX_ROWS]
    source, read = ("cif", read_structure) if "cif" in whole.column_names else ("formula", parse_composition)
    items = [read(whole[source][int(row)].as_py()) for row in rows]
    features, errors = describe(task.descriptor, items)
    assert not any(errors), f"{task.file} holds rows that cannot be described"
    formulas = [composition_key(item) for item in items]
    return Table(features, labels[rows], formulas, fractions_of_keys(formulas))


def fit(table: Table, rows: IntArray, transform: Transform, seed: int) -> Model:
    """Of labelled rows alone."""
    target_map = TargetMap.fit(table.labels[rows], transform, "standard")
    keys = [table.formulas[row] for row in rows]
    problem = VectorProblem(Family.SVR, table.features[rows], target_map.to_network(table.labels[rows]), seed)
    n_features = table.features.shape[1]
    grid: list[Parameters] = [
        {"C": c, "gamma": gamma / n_features, "epsilon": 0.1, "clip": 6.0} for c in (3.0, 30.0) for gamma in (0.3, 1.0)
    ]
    best = cross_validate(problem, "svr", grid, make_folds(len(rows), 5, seed, keys), Watch())[0]
    fitted = problem.fit(best.parameters, np.arange(len(rows)))
    labels = apply_transform(table.labels[rows], transform)
    known = target_map.to_transformed(fitted.predict(table.features[rows]))
    held_out = best.errors * target_map.scaling.std
    projection = Projection.fit(table.features[rows], standardise=True)
    places = Places(projection(table.features[rows]), composition_places(table.fractions[rows]))
    reference = Reference.of(projection, places, keys, table.labels[rows], labels, np.abs(known - labels))
    itself = np.array([[key == other for other in keys] for key in keys])
    looks = reference.look(places, itself)
    medians = np.median(looks.features, axis=0)
    difficulty = Difficulty.fit(looks.features, held_out, np.where(medians > 0, medians, 1.0))
    scores = ScoreTable.of(held_out / difficulty(looks.features), keys)
    trust = Trust(transform, -np.inf, np.inf, reference, difficulty, scores, 1.0)
    return Model(target_map, fitted.predict, trust)


def pool_of(model: Model, table: Table, rows: IntArray) -> Pool:
    values = model.target_map.to_physical(model.predict(table.features[rows]))
    assessed = model.trust.assess(table.features[rows], table.fractions[rows], values)
    return Pool.of([each for each in assessed if each is not None], [table.formulas[row] for row in rows])


def by_value(pool: Pool) -> list[Pick]:
    order = np.argsort(-pool.values, kind="stable")[:N_ADDED]
    return [Pick(int(row), float(pool.values[row])) for row in order]


def choosers(top: float) -> dict[str, Callable[[Pool], Sequence[Pick]]]:
    """Strategies by name, but for the random choice; `top` is the value that a tenth of all rows exceed."""
    return {
        "batch": lambda pool: suggest(pool, Strategy.BATCH, N_ADDED),
        "uncertainty": lambda pool: suggest(pool, Strategy.UNCERTAINTY, N_ADDED),
        "diversity": lambda pool: suggest(pool, Strategy.DIVERSITY, N_ADDED),
        "clusters alone": lambda pool: representatives(pool, np.ones(len(pool)), N_ADDED),
        "target above": lambda pool: suggest(pool, Strategy.TARGET, N_ADDED, Target(above=top)),
        "target highest": lambda pool: suggest(pool, Strategy.TARGET, N_ADDED, Target(optimum=Optimum.HIGHEST)),
        "largest prediction": by_value,
    }


RANDOM = "random"
STRATEGIES = (RANDOM, *choosers(0.0))
LEARNING, FINDING = STRATEGIES[:5], (RANDOM, *STRATEGIES[5:])


def measure(task: Task, kit: Path, seed: int, strategy: str) -> dict[str, list[float]]:
    """Test MAE and share of the top tenth that is labelled, at each number of labels."""
    table = table_of(task, kit)
    parts = split_rows(table.formulas, "formula", 0.7, 0.0, seed)
    random = np.random.default_rng(seed)
    test, pool = random.permutation(parts.test)[:MAX_TEST], random.permutation(parts.train)
    labelled, rest = pool[:N_FIRST], np.sort(pool[N_FIRST:])
    top = float(np.quantile(table.labels[pool], 1.0 - TOP_SHARE))
    is_top = table.labels > top
    found: dict[str, list[float]] = {"labels": [], "mae": [], "top": [], "pool": [float(len(pool))]}
    found["test"] = [float(len(test))]
    for step in range(N_ROUNDS + 1):
        model = fit(table, labelled, task.transform, seed)
        predicted = model.target_map.to_transformed(model.predict(table.features[test]))
        found["labels"].append(float(len(labelled)))
        found["mae"].append(float(np.abs(predicted - apply_transform(table.labels[test], task.transform)).mean()))
        found["top"].append(float(is_top[labelled].sum() / is_top[pool].sum()))
        if step < N_ROUNDS:
            chosen = _chosen(strategy, model, table, rest, top, random)
            labelled, rest = np.concatenate([labelled, rest[chosen]]), np.delete(rest, chosen)
    return found


def _chosen(
    strategy: str, model: Model, table: Table, rest: IntArray, top: float, random: np.random.Generator
) -> IntArray:
    if strategy == RANDOM:
        return random.permutation(len(rest))[:N_ADDED]
    picks = choosers(top)[strategy](pool_of(model, table, rest))
    return np.array([pick.candidate for pick in picks])


Results = dict[str, dict[str, list[float]]]


def curves(results: Results, task: Task, strategy: str, what: str) -> FloatArray:
    """(seeds, numbers of labels), of the seeds that every strategy has."""
    seeds = sorted({int(key.split("/")[1]) for key in results})
    whole = [s for s in seeds if all(f"{task.name}/{s}/{each}" in results for each in STRATEGIES)]
    return np.array([results[f"{task.name}/{s}/{strategy}"][what] for s in whole])


def lines_of(results: Results) -> list[str]:
    """Two tables of each task: errors, and what was found."""
    lines = []
    for task in TASKS:
        base = curves(results, task, RANDOM, "mae")
        if len(base) < 2:
            continue
        labels, pool, test = (curves(results, task, RANDOM, what)[0] for what in ("labels", "pool", "test"))
        lines += [
            f"## {task.name.capitalize()}", "",
            f"`{task.file}`, pool of {pool[0]:.0f} rows, {test[0]:.0f} test rows (first seed), {len(base)} seeds. Test "
            f"MAE in {task.unit}, mean over seeds; change against the random choice and paired t-test, at the end and "
            "of the mean over all rounds.", "",
            _row(["strategy", *(f"{n:.0f} labels" for n in labels), "change at the end", "p", "mean change", "p"]),
            _row(["---"] * (len(labels) + 5)),
        ]  # fmt: skip
        lines += [_error_row(name, curves(results, task, name, "mae"), base) for name in LEARNING]
        found = curves(results, task, RANDOM, "top")
        lines += [
            "", f"Share of the top {TOP_SHARE:.0%} of the pool among the labelled rows:", "",
            _row(["strategy", *(f"{n:.0f} labels" for n in labels), "times random", "p", "test MAE at the end"]),
            _row(["---"] * (len(labels) + 4)),
        ]  # fmt: skip
        for name in FINDING:
            mae = curves(results, task, name, "mae")[:, -1].mean()
            lines.append(_found_row(name, curves(results, task, name, "top"), found, mae))
        lines.append("")
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.1f}" if value > 10 else f"{value:.4f}"


def _p(a: FloatArray, b: FloatArray) -> str:
    return f"{stats.ttest_rel(a, b).pvalue:.2g}"


def _error_row(name: str, mine: FloatArray, base: FloatArray) -> str:
    means = [_number(value) for value in mine.mean(axis=0)]
    if name == RANDOM:
        return _row([name, *means, "", "", "", ""])
    ends, later = (mine[:, -1], base[:, -1]), (mine[:, 1:].mean(axis=1), base[:, 1:].mean(axis=1))
    changes = [cell for a, b in (ends, later) for cell in (f"{100 * (a.mean() / b.mean() - 1):+.1f} %", _p(a, b))]
    return _row([name, *means, *changes])


def _found_row(name: str, mine: FloatArray, base: FloatArray, mae: float) -> str:
    means = [f"{value:.1%}" for value in mine.mean(axis=0)]
    if name == RANDOM:
        return _row([name, *means, "", "", _number(mae)])
    times = f"{mine[:, -1].mean() / base[:, -1].mean():.1f}"
    return _row([name, *means, times, _p(mine[:, -1], base[:, -1]), _number(mae)])


def draw(results: Results, path: Path) -> None:
    from matplotlib.figure import Figure

    tasks = [task for task in TASKS if len(curves(results, task, RANDOM, "mae")) >= 2]
    figure = Figure(figsize=(4.2 * len(tasks), 7), layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False)
    for column, task in enumerate(tasks):
        for row, (names, what, label) in enumerate(
            ((LEARNING, "mae", f"test MAE / {task.unit}"), (FINDING, "top", "share of the top 10 % found"))
        ):
            for name in names:
                found = curves(results, task, name, what)
                labels = curves(results, task, name, "labels")[0]
                error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
                style = {"color": "black", "linestyle": "--"} if name == RANDOM else {}
                axes[row, column].errorbar(labels, found.mean(axis=0), error, label=name, capsize=2, **style)
            axes[row, column].set(xlabel="labels", ylabel=label, title=task.name if row == 0 else None)
        axes[0, 0].legend(fontsize=8)
        axes[1, 0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/suggestions"))
    options = parser.parse_args()
    kept = options.out.with_suffix(".json")
    results: Results = json.loads(kept.read_text())["results"] if kept.exists() else {}
    units = [(task, seed, each) for seed in range(options.seeds) for task in TASKS for each in STRATEGIES]
    for task, seed, strategy in tqdm(units, file=sys.stderr):
        key = f"{task.name}/{seed}/{strategy}"
        if key not in results:
            results[key] = measure(task, options.data_kit, seed, strategy)
            date = datetime.now(UTC).isoformat(timespec="seconds")
            kept.write_text(json.dumps({"date": date, "results": results}) + "\n")
    draw(results, options.out.with_suffix(".png"))
    report = [
        "# What suggestions are worth", "",
        f"`python benchmarks/suggestions.py --data-kit DIR --seeds {options.seeds}`, "
        f"{datetime.now(UTC).date()}, {os.cpu_count()} CPU cores, seeds 0 to {options.seeds - 1}.", "",
        *(__doc__ or "").split("\n\n")[2].rsplit(" What was measured", 1)[0].splitlines(), "",
        f"![Errors and finds against labels]({options.out.name}.png)", "", *lines_of(results),
    ]  # fmt: skip
    options.out.with_suffix(".md").write_text("\n".join(report).rstrip() + "\n")


if __name__ == "__main__":
    main()
