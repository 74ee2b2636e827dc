"""At which rate a fine-tuned ElemNet learns measured band gaps, from formation energies and from PBE gaps.

    python -m benchmarks.elemnet_rates --data-kit DIR       # some 30 minutes on one core

Rows as `benchmarks.automatic` draws them, with seeds that no default was chosen on. Lines of
benchmarks/results/elemnet_rates/runs.jsonl are kept: what is there is not run again. Writes report.md beside it.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import ttest_rel

from app.core.settings import PROJECT_ROOT
from app.learning.methods import Method
from benchmarks.automatic import TARGETS, run
from benchmarks.result_lines import ResultLines

FOLDER = PROJECT_ROOT / "benchmarks/results/elemnet_rates"
SOURCES = ("elemnet-formation-energy/1", "elemnet-band-gap/1")
ROWS = (600, 3334)
"""Four fifths train, the rest choose the epoch."""
RATES = (0.0001, 0.0003, 0.001)
FIRST_SEED = 10

HEAD = """# Learning rates of fine-tuned ElemNets

Command: `python -m benchmarks.elemnet_rates`. Test MAE of measured band gaps in eV on up to 1,000 rows of other
formulas, mean ± standard deviation over seeds from {first} on; p: paired t-test against the rate {rate:g}.

| source | rows | rate | seeds | test MAE | p | median s |
|---|---|---|---|---|---|---|
"""


def report(lines: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for source, n_rows, rate in product(SOURCES, ROWS, RATES):
        errors, usual = (_errors(lines, source, n_rows, each) for each in (rate, RATES[0]))
        if not errors:
            continue
        seeds = sorted(errors.keys() & usual.keys())
        differs = rate != RATES[0] and len(seeds) > 1
        p = ttest_rel([errors[s] for s in seeds], [usual[s] for s in seeds]).pvalue if differs else np.nan
        spread = f" ± {np.std(list(errors.values()), ddof=1):.4f}" if len(errors) > 1 else ""
        seconds = np.median([line["wall_s"] for line in lines if _key(line) == (source, n_rows, rate)])
        rows.append(
            f"| {source} | {n_rows} | {rate:g} | {len(errors)} | {np.mean(list(errors.values())):.4f}{spread} | "
            f"{'-' if np.isnan(p) else format(p, '.2g')} | {seconds:.0f} |"
        )
    return HEAD.format(first=FIRST_SEED, rate=RATES[0]) + "\n".join(rows) + "\n"


def _errors(lines: Sequence[Mapping[str, Any]], source: str, n_rows: int, rate: float) -> dict[int, float]:
    return {line["seed"]: line["mae"] for line in lines if _key(line) == (source, n_rows, rate)}


def _key(line: Mapping[str, Any]) -> tuple[str, int, float]:
    return line["source"], line["n_rows"], line["rate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = ResultLines(FOLDER, report)
    done = results.done("source", "n_rows", "rate", "seed")
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    for seed, n_rows, source, rate in product(seeds, ROWS, SOURCES, RATES):
        if (source, n_rows, rate, seed) in done:
            continue
        target = replace(TARGETS["expt_gap"], n_rows=n_rows, sources=(source,))
        line = run(
            "expt_gap", target, Method.FINE_TUNE, "default", seed, options.data_kit, 0.0, learning_rate=rate
        )  # fmt: skip
        kept = {name: line[name] for name in ("seed", "mae", "n_test", "wall_s", "date")}
        about = {"source": source, "n_rows": n_rows, "rate": rate}
        results.add(about | kept, f"  {source}, {n_rows} rows, {rate:g}, seed {seed}: {line['mae']:.4f}")
        results.write_report()


if __name__ == "__main__":
    main()
