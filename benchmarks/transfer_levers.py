"""Levers of transfer learning on equal rows and splits, against plain `fine_tune` and well-tuned `scratch`.

    python -m benchmarks.transfer_levers --data-kit DIR --seeds 5                          # hours on one core
    python -m benchmarks.transfer_levers --data-kit DIR --seeds 3 --only "5 folds" scratch fine_tune

Each seed draws 500 rows that train, 125 that choose and up to 1,000 of other formulas that measure, the same for every
lever. Lines of benchmarks/results/transfer_levers/runs.jsonl are kept: what is there is not run again. Trainings that
several levers share are kept in the work folder. Writes report.md beside the lines.
"""

import argparse
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import torch

from app.core.settings import PROJECT_ROOT
from benchmarks.automatic import TARGETS
from benchmarks.result_lines import ResultLines
from benchmarks.transfer_levers_catalogue import LEVERS
from benchmarks.transfer_levers_report import report
from benchmarks.transfer_levers_rows import draw_rows
from benchmarks.transfer_levers_sources import OWN_SOURCES
from benchmarks.transfer_levers_training import Lab

FOLDER = PROJECT_ROOT / "benchmarks/results/transfer_levers"


def measure(lab: Lab, lever: str) -> dict[str, object]:
    """One lever on one draw: MAE of the rows that measure, and of those that choose, on the transformed scale."""
    draw, outcome = lab.draw, LEVERS[lever].make(lab)
    errors = np.abs(outcome.predictions - draw.transformed)
    return {
        "target": draw.target, "lever": lever, "seed": draw.seed, "mae": float(errors[draw.split.test].mean()),
        "val_mae": float(errors[draw.split.val].mean()), "n_test": len(draw.split.test),
        "seconds": round(outcome.seconds, 1), "note": outcome.note,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=["k_vrh"], choices=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(LEVERS), choices=list(LEVERS), metavar="LEVER")
    parser.add_argument("--work-dir", type=Path, default=PROJECT_ROOT / ".work/transfer_levers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = ResultLines(FOLDER, report)
    done = results.done("target", "lever", "seed")
    for target, seed in product(options.targets, range(options.seeds)):
        wanted = [lever for lever in options.only if (target, lever, seed) not in done]
        if not wanted:
            continue
        draw = draw_rows(target, seed, options.data_kit, options.work_dir)
        lab = Lab(draw, options.work_dir, dict.fromkeys(OWN_SOURCES, options.work_dir / "sources"))
        for lever in wanted:
            line = measure(lab, lever)
            results.add(line, f"{target} seed {seed} {lever}: {line['mae']:.4f}")
        results.write_report()


if __name__ == "__main__":
    main()
