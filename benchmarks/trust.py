"""What intervals hold and what the domain's score tells, on chemistry that the training really left out.

    python benchmarks/trust.py --data-kit DIR                            # ten minutes on 2 cores
    python benchmarks/trust.py --data-kit DIR --methods scratch           # networks: an hour

A model is trained for each case, on rows that the case leaves in, with intervals and domain made as for every other
training; then it is asked for what was left out: rows at random, whole formulas, all compounds of an element, whole
families of compounds. Cases that are done are kept under --work. Writes benchmarks/results/trust/.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from scipy.stats import spearmanr
from tqdm import tqdm

from app.core.errors import XtalforgeError
from app.core.settings import PROJECT_ROOT
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method, method_info
from app.learning.predictor import Estimate, Predictor
from app.learning.presets import resolve_hyperparameters
from app.learning.samples import ModelInput, composition_key
from app.learning.targets import apply_transform
from app.learning.training_job import TrainedModel, TrainingSpec, TrainingTable, train_model
from app.learning.trust.families import FAMILIES, elements_in, family_of
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, PropertyRecord
from app.structures.composition import parse_composition
from app.structures.reader import read_structure
from benchmarks.harness import machine

mpl.use("Agg")
from matplotlib import pyplot as plt

Mask = npt.NDArray[np.bool_]
RESULTS = PROJECT_ROOT / "benchmarks/results/trust"
LEVEL = 0.9
MAX_SITES = 20
FEWEST_ROWS = 60
N_ELEMENTS = 8
MOST_MEASURED = 600
NETWORK = {"max_epochs": 30, "patience": 30}


@dataclass(frozen=True, slots=True)
class Task:
    name: str
    file: str
    column: str
    property_key: str
    has_structures: bool


TASKS = (
    Task("bulk modulus", "target_elastic_mp2020_6k.parquet", "K_VRH_GPa", "k_vrh", True),
    Task(
        "experimental gap",
        "target_expt_gap_composition_4604.parquet",
        "band_gap_expt_eV",
        "band_gap_experimental",
        False,
    ),
)


@dataclass(frozen=True, slots=True)
class Rows:
    items: Sequence[ModelInput]
    labels: npt.NDArray[np.float64]
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Case:
    """`left_out` (n,) are the rows that the model is asked for; `split` and `seed` are those of the training."""

    kind: str
    name: str
    left_out: Mask
    split: str = "formula"
    seed: int = 0


def read_rows(kit: Path, task: Task) -> Rows:
    columns = ["cif" if task.has_structures else "formula", task.column]
    table = pq.read_table(kit / task.file, columns=[*columns, *(["nsites"] if task.has_structures else [])]).to_pydict()
    items: list[ModelInput] = []
    labels = []
    for index, (text, label) in enumerate(zip(table[columns[0]], table[task.column], strict=True)):
        if label is None or (get_property(task.property_key).transform != "identity" and label <= 0):
            continue
        if task.has_structures and table["nsites"][index] > MAX_SITES:
            continue
        try:
            items.append(read_structure(text) if task.has_structures else parse_composition(text))
        except XtalforgeError:
            continue
        labels.append(float(label))
    return Rows(items, np.array(labels), [composition_key(item) for item in items])


def cases_of(rows: Rows, n_seeds: int) -> Iterator[Case]:
    n, formulas = len(rows.labels), sorted(set(rows.keys))
    generators = [np.random.default_rng(seed) for seed in range(n_seeds)]
    for seed, random in enumerate(generators):
        yield Case("rows at random", f"a fifth, seed {seed}", random.random(n) < 0.2, "random", seed)
        held = {formula for formula in formulas if random.random() < 0.2}
        yield Case("formulas", f"a fifth of them, seed {seed}", np.array([key in held for key in rows.keys]), seed=seed)
    elements = [elements_in(key) for key in rows.keys]
    counts = {e: sum(e in each for each in elements) for e in sorted(set().union(*elements))}
    common = [e for e, count in counts.items() if FEWEST_ROWS <= count <= n // 4]
    for element in sorted(generators[0].permutation(common)[:N_ELEMENTS].tolist()):
        yield Case("an element", element, np.array([element in each for each in elements]))
    families = np.array([family_of(each) for each in elements])
    for family in FAMILIES:
        left_out = families == family
        if FEWEST_ROWS <= left_out.sum() <= n // 2:
            yield Case("a family", family, left_out)


def trained(task: Task, rows: Rows, case: Case, method: Method, n_rows: int) -> TrainedModel:
    """On `n_rows` of the rows that are left in."""
    random = np.random.default_rng(case.seed)
    left_in = random.permutation(np.flatnonzero(~case.left_out))[:n_rows]
    table = TrainingTable([rows.items[i] for i in left_in], rows.labels[left_in], [str(i) for i in left_in])
    architecture = (
        Architecture.BASELINE
        if Architecture.BASELINE in method_info(method).architectures
        else (Architecture.CGCNN if task.has_structures else Architecture.ELEMNET)
    )
    changes = {"split": case.split, **({} if architecture is Architecture.BASELINE else NETWORK)}
    given = Hyperparameters.model_validate(changes)
    spec = TrainingSpec(
        name="trust", method=method, architecture=architecture,
        property=PropertyRecord.of(get_property(task.property_key)), seed=case.seed,
        hyperparameters=resolve_hyperparameters(architecture, method, given, len(left_in)), dataset_name=task.file,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        return train_model(table, spec, None, None, Path(folder), lambda _: None, lambda: False)


def measured(rows: Rows, case: Case, model: TrainedModel) -> dict[str, Any]:
    """What the model says of the rows that were left out."""
    asked = np.random.default_rng(case.seed).permutation(np.flatnonzero(case.left_out))[:MOST_MEASURED]
    predictor = Predictor.from_bytes(model.manifest, model.weights, model.trust)
    transform = model.manifest.property.transform
    found: dict[str, list[Any]] = {"score": [], "error": [], "expected": [], "covered": [], "width": []}
    for index, estimate in zip(asked, predictor.estimate([rows.items[i] for i in asked]), strict=True):
        if not isinstance(estimate, Estimate) or estimate.assessment is None:
            continue
        assessment, label = estimate.assessment, rows.labels[index]
        ends = assessment.interval(LEVEL)
        assert ends is not None
        scaled = apply_transform(np.array([estimate.value, label]), transform)
        found["score"].append(assessment.score)
        found["error"].append(abs(float(scaled[0] - scaled[1])))
        found["expected"].append(assessment.difficulty)
        found["covered"].append(bool(ends[0] <= label <= ends[1]))
        found["width"].append(ends[1] - ends[0])
    return {"kind": case.kind, "name": case.name, "n_left_out": int(case.left_out.sum()), **found}


def summary(case: dict[str, Any]) -> list[str]:
    score, error = np.array(case["score"]), np.array(case["error"])
    outside = score > 1

    def mae(mask: Mask) -> str:
        return f"{error[mask].mean():.3g}" if mask.sum() >= 5 else "–"

    return [
        case["kind"], case["name"], f"{len(error)}", f"{error.mean():.3g}", f"{np.mean(case['covered']):.1%}",
        f"{np.median(case['width']):.3g}", f"{outside.mean():.0%}", mae(~outside), mae(outside),
        f"{spearmanr(score, error).statistic:.2f}", f"{spearmanr(case['expected'], error).statistic:.2f}",
    ]  # fmt: skip


def pooled(cases: Sequence[dict[str, Any]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scores, and errors, of all cases of a task and method."""
    return np.concatenate([c["score"] for c in cases]), np.concatenate([c["error"] for c in cases])


def draw(done: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Mean error against score, in ten parts of equal numbers, for each task and method."""
    figure, axes = plt.subplots(1, len(done), figsize=(4 * len(done), 3.4), squeeze=False)
    for axis, (name, cases) in zip(axes[0], done.items(), strict=True):
        scores, errors = pooled(cases)
        parts = np.array_split(np.argsort(scores), 10)
        axis.plot([np.median(scores[p]) for p in parts], [errors[p].mean() for p in parts], "o-")
        axis.axvline(1.0, linestyle=":", color="grey")
        axis.set(title=name, xlabel="score of the domain (1: limit)", ylabel="mean absolute error")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


HEADER = (
    "| left out | which | rows | MAE | within intervals of 0.9 | median width | outside the domain | MAE inside | "
    "MAE outside | rank correlation of error with score | with expected error |\n|" + "---|" * 11
)


def report(done: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> str:
    methods, here = " ".join(options.methods), machine()
    command = f"python benchmarks/trust.py --data-kit DIR --rows {options.rows} --methods {methods}"
    command += f" --seeds {options.seeds}"
    lines = [
        "# Intervals and domain on chemistry that was left out",
        f"{datetime.now(UTC):%Y-%m-%d}, `{command}`; {here['processor']}, {here['cores']} cores. "
        "Errors of the bulk modulus are of log10(K/GPa), widths in GPa. A model is trained for each line, without the "
        "rows of that line; intervals and domain come from its own test rows.",
    ]
    for name, cases in done.items():
        scores, errors = pooled(cases)
        rank = spearmanr(scores, errors)
        lines.append(f"## {name}\n\n{HEADER}\n" + "\n".join(f"| {' | '.join(summary(case))} |" for case in cases))
        lines += [_over_seeds(cases, kind) for kind in ("rows at random", "formulas")]
        lines.append(
            f"All lines together: rank correlation of error with score {rank.statistic:.2f} (p {rank.pvalue:.1g})."
        )
    return "\n\n".join([*lines, "![Error against score](error_by_score.png)"]) + "\n"


def _over_seeds(cases: Sequence[dict[str, Any]], kind: str) -> str:
    shares = np.array([np.mean(case["covered"]) for case in cases if case["kind"] == kind])
    spread = f"{shares.min():.1%} to {shares.max():.1%}"
    return f"{kind}: {shares.mean():.1%} within intervals of 0.9 over {len(shares)} seeds, {spread}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=600, help="that train, validate and calibrate each model")
    parser.add_argument("--methods", nargs="+", default=["svr"], choices=[m.value for m in Method])
    parser.add_argument("--seeds", type=int, default=5, help="of rows and formulas at random")
    parser.add_argument("--work", type=Path, default=Path("data/trust"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    done: dict[str, list[dict[str, Any]]] = {}
    for task in TASKS:
        rows = read_rows(options.data_kit, task)
        for method in options.methods:
            cases = done.setdefault(f"{task.name}, {method}", [])
            for case in tqdm(list(cases_of(rows, options.seeds)), desc=f"{task.name}, {method}", file=sys.stderr):
                path = options.work / f"{task.property_key}-{method}-{options.rows}-{case.kind}-{case.name}.json"
                if not path.is_file():
                    model = trained(task, rows, case, Method(method), options.rows)
                    path.write_text(json.dumps(measured(rows, case, model)))
                cases.append(json.loads(path.read_text()))
    RESULTS.mkdir(parents=True, exist_ok=True)
    draw(done, RESULTS / "error_by_score.png")
    (RESULTS / "trust.md").write_text(report(done, options))


if __name__ == "__main__":
    main()
