"""The method `auto` against the methods of Lee & Asahi 2021 and simple baselines, on equal rows.

    python -m benchmarks.automatic --data-kit DIR --targets k_vrh phonons --seeds 10       # 5 minutes a run on 2 cores
    python -m benchmarks.automatic --data-kit DIR --targets k_vrh --seeds 3 --also scratch fine_tune

Each run draws training rows (500 and 125 that choose, the sizes of the paper; of phonons and experimental gaps 4/5 of
all) and up to 1,000 test rows of other formulas; all methods get the same. Of the targets `..._folds` seed 0 to 4 is
the fold of one division of all formulas into five that measures. Lines of
benchmarks/results/automatic/runs.jsonl are kept: what is there is not run again. Writes report.md beside it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from app.core.settings import PROJECT_ROOT
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method, method_info
from app.learning.presets import chosen_architecture, resolve_hyperparameters
from app.learning.splits import Split, split_rows
from app.learning.tables import prepare
from app.learning.training_job import PreparedTable, TrainingSpec, TrainingTable, representation_of_run, train_model
from app.learning.transfer import Base
from app.properties.catalogue import Transform, best_start, get_property
from app.registry.manifest import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    InputKind,
    Manifest,
    Parent,
    PropertyRecord,
    what_it_learned,
)
from app.structures.composition import parse_composition
from app.structures.reader import read_structure
from benchmarks.harness import machine
from benchmarks.result_lines import ResultLines

FOLDER = PROJECT_ROOT / "benchmarks/results/automatic"
STORE = PROJECT_ROOT / "models_store"
MAX_TEST = 1000
FOLD_SEED = 18012019
"""That of Matbench's folds; what is in them is not the same, since the data kit has not all of its rows."""
RULES = {
    1: "networks from a source learn at 0.001, as until 2026-11-22",
    2: "networks from a source learn at 0.003",
    3: "so they do, a source without labels takes part, no gap counts as the PBE gap, `fine_tune` has the best source",
}
"""What changed in the package since lines were measured; those of the last rules are measured from now on."""
NOW = max(RULES)


@dataclass(frozen=True, slots=True)
class Target:
    """A file of the data kit. Labels above `lower` are used; `n_rows`, or all but one of `n_folds`, train."""

    file: str
    column: str
    property_key: str
    n_rows: int
    sources: tuple[str, ...] = (
        "cgcnn-formation-energy/1", "cgcnn-band-gap/2", "cgcnn-band-gap-nonmetal/2", "cgcnn-denoising/1"
    )  # fmt: skip
    lower: float = -np.inf
    upper: float = np.inf
    n_folds: int = 0


TARGETS = {
    "k_vrh": Target("target_elastic_mp2020_6k.parquet", "K_VRH_GPa", "k_vrh", 625, lower=0),
    "g_vrh": Target("target_elastic_mp2020_6k.parquet", "G_VRH_GPa", "g_vrh", 625, lower=0),
    "dielectric": Target(
        "target_dielectric_mp2020_5k.parquet", "eps_total", "dielectric_total", 625, lower=1, upper=1000
    ),
    "gap_gllbsc": Target("target_gap_gllbsc_2k.parquet", "band_gap_gllbsc_eV", "band_gap_gllbsc", 225),
    "phonons": Target("target_phonons_1265.parquet", "last_phdos_peak_cm-1", "last_phdos_peak", 0, lower=0),
    "expt_gap": Target(
        "target_expt_gap_composition_4604.parquet",
        "band_gap_expt_eV",
        "band_gap_experimental",
        0,
        ("elemnet-formation-energy/1", "elemnet-band-gap/1"),
    ),
}
FOLDS = {f"{name}_folds": replace(TARGETS[name], n_folds=5) for name in ("phonons", "expt_gap")}


def table_of(target: Target, data_kit: Path, seed: int) -> tuple[TrainingTable, InputKind, float]:
    """Random rows, those of one formula together: what trains first; and the share of rows that trains."""
    columns = pq.read_table(data_kit / target.file).to_pydict()
    label = target.column if target.column in columns else next(name for name in columns if name.endswith("_eV"))
    labels = np.array(columns[label], dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(labels) & (labels > target.lower) & (labels <= target.upper))
    formulas = np.array(columns["formula"])[usable]
    fitted, measured = _formulas(np.unique(formulas), target, seed)
    order = {formula: place for place, formula in enumerate(np.concatenate([fitted, measured]))}
    rows = usable[np.argsort([order[formula] for formula in formulas], kind="stable")]
    n_rows = int(np.isin(formulas, fitted).sum()) if target.n_folds else target.n_rows or round(0.8 * rows.shape[0])
    rows = rows[: n_rows + MAX_TEST]
    kind = InputKind.STRUCTURE if "cif" in columns else InputKind.COMPOSITION
    texts = columns["cif" if kind is InputKind.STRUCTURE else "formula"]
    read = read_structure if kind is InputKind.STRUCTURE else parse_composition
    items = [read(texts[row]) for row in rows]
    return TrainingTable(items, labels[rows], [str(row) for row in rows]), kind, n_rows / rows.shape[0]


def _formulas(formulas: np.ndarray, target: Target, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """In random order: those that come first, and the fold that measures, where there are folds."""
    if not target.n_folds:
        return np.random.default_rng(seed).permutation(formulas), formulas[:0]
    folds = np.array_split(np.random.default_rng(FOLD_SEED).permutation(formulas), target.n_folds)
    return np.concatenate([fold for number, fold in enumerate(folds) if number != seed]), folds[seed]


def run(
    name: str, target: Target, method: Method, preset: str, seed: int, data_kit: Path, seconds: float, **given: Any
) -> dict[str, Any]:
    """Train and measure; `given` are hyperparameters that are not chosen."""
    table, kind, share = table_of(target, data_kit, seed)
    sources = [_shipped(source) for source in target.sources]
    wanted = best_start(target.property_key)
    best = next((source for source in sources if what_it_learned(source[0]) == wanted), sources[0])
    base = best if method_info(method).needs_base else None
    given |= {"train_fraction": share * 0.8, "val_fraction": share * 0.2}
    given |= {"max_seconds": seconds} if method is Method.AUTO else {"preset": preset}
    asked = Hyperparameters(**given)
    architecture = chosen_architecture(method, kind, base[0].architecture if base else None, asked)
    resolved = resolve_hyperparameters(architecture, method, asked, len(table.targets)).model_copy(
        update={"split": "formula"}
    )
    spec = TrainingSpec(
        name=name.replace("_", "-"), method=method, architecture=architecture,
        property=PropertyRecord.of(get_property(target.property_key)), seed=seed, hyperparameters=resolved,
        dataset_name=target.file, data_kind=kind,
    )  # fmt: skip
    parent = Parent(name=base[0].name, version=1, weights_sha256=base[0].weights_sha256) if base else None
    prepared = with_split(prepare(table, representation_of_run(spec, base)), share, seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = train_model(
            prepared, spec, base, parent, Path(folder), lambda _: None, lambda: False,
            on_search=lambda event: _shown(event.text), sources=sources if method is Method.AUTO else (),
        )  # fmt: skip
    test = model.manifest.metrics.test
    assert test is not None
    is_log = spec.property.transform is Transform.LOG10
    return {
        "target": name, "method": method.value, "preset": preset, "seed": seed, "rules": NOW,
        "mae": test.mae_transformed if is_log else test.mae, "mae_physical": test.mae, "n_test": test.n,
        "wall_s": round(time.monotonic() - started, 1), "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "search": model.manifest.training.search if method is Method.AUTO else None,
        "coverage_90": _coverage(model.manifest), "weights_mb": round(len(model.weights) / 1e6, 1),
    }  # fmt: skip


def with_split(prepared: PreparedTable, share: float, seed: int) -> PreparedTable:
    """The first rows train and choose, the rest measure; formulas stay together."""
    n_fitted = round(share * len(prepared.labels))
    # A formula on the border belongs to the test, and so does one that the file spells in two ways.
    measured = set(prepared.keys[n_fitted:])
    fitted = [row for row in range(n_fitted) if prepared.keys[row] not in measured]
    parts = split_rows([prepared.keys[row] for row in fitted], "formula", 0.8, 0.15, seed)
    val = np.union1d(parts.val, parts.test)
    rows = np.array(fitted)
    rest = np.setdiff1d(np.arange(len(prepared.labels)), rows)
    return replace(prepared, split=Split(rows[parts.train], rows[val], rest))


def _coverage(manifest: Manifest) -> float | None:
    trust = manifest.trust
    return trust.coverage.share if trust is not None and trust.coverage is not None else None


def _shipped(name: str) -> Base:
    folder = STORE / name
    manifest = Manifest.model_validate_json((folder / MANIFEST_FILE).read_text())
    return manifest, (folder / WEIGHTS_FILE).read_bytes()


def _shown(text: str) -> None:
    tqdm.write(f"  {text}", file=sys.stderr)


HEAD = """# The method `auto` against single methods

Machine: {machine}. Command: `python -m benchmarks.automatic`. Errors: MAE of log10 for k_vrh and dielectric, eV for
gaps, cm-1 for phonons, on test rows of other formulas; of the same rows the intervals of level 90 % hold the share
named, lowest to highest of the seeds. `auto` was given 15 minutes; seconds are those of a shared machine.
"""
COLUMNS = (
    "| method | preset | seeds | test MAE | auto's error is lower by | 90 % intervals hold | median s |\n"
    "|---|---|---|---|---|---|---|"
)


def report(lines: Sequence[Mapping[str, Any]]) -> str:
    """Mean and spread over seeds, and the gain of `auto` over each on the seeds that both have."""
    about = machine()
    described = f"{about['processor']}, {about['cores']} cores, load before {about['load_before']}"
    found = [HEAD.format(machine=described)]
    for target, rules in dict.fromkeys((line["target"], line["rules"]) for line in lines):
        own = [line for line in lines if (line["target"], line["rules"]) == (target, rules)]
        found += [f"## {target}: {RULES[rules]}", "", COLUMNS]
        found += [_row(own, *key) for key in dict.fromkeys((line["method"], line["preset"]) for line in own)]
        reasons = [line["search"]["reason"] for line in own if line["search"]]
        found += ["", *(f"> {reason}" for reason in reasons[:1]), ""]
    return "\n".join(found)


def _row(lines: Sequence[Mapping[str, Any]], method: str, preset: str) -> str:
    auto = {line["seed"]: line["mae"] for line in lines if line["method"] == Method.AUTO}
    rows = [line for line in lines if (line["method"], line["preset"]) == (method, preset)]
    errors = np.array([row["mae"] for row in rows])
    gains = [1 - auto[row["seed"]] / row["mae"] for row in rows if row["seed"] in auto]
    spread = f" ± {errors.std(ddof=1):.4f}" if len(errors) > 1 else ""
    gain = f"{np.mean(gains):.1%}" if gains and method != Method.AUTO else "-"
    held = [row["coverage_90"] for row in rows if row.get("coverage_90") is not None]
    coverage = f"{min(held):.1%} to {max(held):.1%}" if held else "-"
    wall = np.median([row["wall_s"] for row in rows])
    return f"| {method} | {preset} | {len(rows)} | {errors.mean():.4f}{spread} | {gain} | {coverage} | {wall:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=[*TARGETS, *FOLDS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--also", nargs="*", default=[], help="METHOD or METHOD:paper, beside auto")
    parser.add_argument("--max-seconds", type=float, default=900.0)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    results, targets = ResultLines(FOLDER, report), TARGETS | FOLDS
    done = results.done("target", "method", "preset", "seed", "rules")
    also = [(text.partition(":")[0], text.partition(":")[2] or "default") for text in options.also]
    for seed, name, (method, preset) in product(range(options.seeds), options.targets, [("auto", "default"), *also]):
        if (name, method, preset, seed, NOW) in done or 0 < targets[name].n_folds <= seed:
            continue
        line = run(name, targets[name], Method(method), preset, seed, options.data_kit, options.max_seconds)
        results.add(line, f"  {name} {method} {preset} seed {seed}: {line['mae']:.4f} in {line['wall_s']:.0f} s")
        results.write_report()


if __name__ == "__main__":
    main()
