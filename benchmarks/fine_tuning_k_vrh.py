"""Bulk moduli from 500 training rows: transfer from formation energy against scratch, on equal splits.

    python benchmarks/fine_tuning_k_vrh.py --data-kit DIR --base models_store/cgcnn-formation-energy/1 --seeds 5

The protocol of Lee & Asahi 2021 (500 / 125 / 125 rows, mean and standard deviation over trials of the test MAE of
log10(K_VRH / GPa), paired t-test), with splits by formula. Results go to benchmarks/results/.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy import stats
from tqdm import tqdm

from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.presets import resolve_hyperparameters
from app.learning.training_job import TrainingSpec, TrainingTable, train_model
from app.properties.catalogue import get_property
from app.registry.manifest import Architecture, Manifest, Parent, PropertyRecord
from app.structures.reader import read_structure

N_ROWS = 750


def table_of(path: Path, seed: int) -> TrainingTable:
    """750 random rows with a positive bulk modulus."""
    columns = pq.read_table(path, columns=["material_id", "K_VRH_GPa", "cif"]).to_pydict()
    labels = np.array(columns["K_VRH_GPa"], dtype=np.float64)
    usable = np.flatnonzero(labels > 0)
    rows = np.random.default_rng(seed).choice(usable, N_ROWS, replace=False)
    crystals = [read_structure(columns["cif"][row]) for row in rows]
    return TrainingTable(crystals, labels[rows], [columns["material_id"][row] for row in rows])


def run(
    table: TrainingTable, method: Method, seed: int, base: tuple[Manifest, bytes], given: Hyperparameters
) -> dict[str, float]:
    resolved = resolve_hyperparameters(Architecture.CGCNN, method, given, N_ROWS)
    spec = TrainingSpec(
        name="k-vrh",
        method=method,
        architecture=Architecture.CGCNN,
        property=PropertyRecord.of(get_property("k_vrh")),
        seed=seed,
        hyperparameters=resolved,
        dataset_name="target_elastic_mp2020_6k",
    )
    start = base if method is not Method.SCRATCH else None
    parent = Parent(name=base[0].name, version=1, weights_sha256=base[0].weights_sha256) if start else None
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = train_model(table, spec, start, parent, Path(folder), lambda _: None, lambda: False)
    test = model.manifest.metrics.test
    assert test is not None and test.mae_transformed is not None
    return {
        "mae_log10": test.mae_transformed,
        "mae_gpa": test.mae,
        "best_epoch": model.manifest.training.best_epoch,
        "wall_s": time.monotonic() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=["scratch", "fine_tune"], choices=[m.value for m in Method])
    parser.add_argument("--hyperparameters", default="{}", help="JSON, for every method")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the results")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    base = (
        Manifest.model_validate_json((options.base / "manifest.json").read_text()),
        (options.base / "weights.safetensors").read_bytes(),
    )
    given = Hyperparameters.model_validate_json(options.hyperparameters)
    results: dict[str, list[dict[str, float]]] = {method: [] for method in options.methods}
    for seed in tqdm(range(options.seeds), file=sys.stderr, unit="seed"):
        table = table_of(options.data_kit / "target_elastic_mp2020_6k.parquet", seed)
        for method in options.methods:
            results[method].append(run(table, Method(method), seed, base, given))
            tqdm.write(f"seed {seed} {method}: {results[method][-1]}", file=sys.stderr)
    report(results, options)


def report(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    errors = {method: np.array([r["mae_log10"] for r in rows]) for method, rows in results.items()}
    print("| method | MAE log10(GPa), mean | std | MAE GPa | wall s (median) | p against scratch |")
    print("|---|---|---|---|---|---|")
    for method, values in errors.items():
        gpa = np.mean([r["mae_gpa"] for r in results[method]])
        wall = np.median([r["wall_s"] for r in results[method]])
        paired = "scratch" in errors and method != "scratch" and len(values) > 1
        p = f"{stats.ttest_rel(values, errors['scratch']).pvalue:.2g}" if paired else "-"
        spread = values.std(ddof=1) if len(values) > 1 else float("nan")
        print(f"| {method} | {values.mean():.4f} | {spread:.4f} | {gpa:.2f} | {wall:.0f} | {p} |")
    if options.out:
        date = datetime.now(UTC).isoformat()
        described = {"date": date, "hyperparameters": options.hyperparameters, "results": results}
        options.out.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
