"""Whether an interatomic potential's knowledge helps: CHGNet features beside descriptors of bonds, bulk moduli.

    python -m benchmarks.chgnet_features --data-kit DIR        # 20 minutes on one core; needs `make bench-peers`

The tournament's support vectors on the rows of `benchmarks.transfer_levers`: 625 to learn from, 1,000 of other formulas
that measure. Writes benchmarks/results/chgnet_features.md.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import ttest_rel

from app.core.settings import PROJECT_ROOT
from app.learning.baselines.search import Watch
from app.learning.hyperparameters import Hyperparameters
from app.learning.methods import Method
from app.learning.presets import resolve_hyperparameters
from app.learning.samples import CompositeSamples, VectorSamples
from app.learning.tournament.entrants import regressors
from app.learning.tournament.fitting import Course, RegressorFits
from app.registry.manifest import Architecture, InputKind
from benchmarks.automatic import TARGETS, table_of
from benchmarks.harness import machine
from benchmarks.peers.environment import peer_python
from benchmarks.transfer_levers_rows import BONDING, N_ROWS, Draw, draw_rows

TARGET = "k_vrh"
WORK = PROJECT_ROOT / ".work"
OUT = PROJECT_ROOT / "benchmarks/results/chgnet_features.md"
ENTRANT = "SVR, bonding descriptors"

Features = npt.NDArray[np.float32]


def file_rows(draw: Draw, kit: Path) -> list[int]:
    """Which rows of the file a draw has, in its order."""
    table, _, _ = table_of(replace(TARGETS[TARGET], n_rows=N_ROWS), kit, draw.seed)
    assert len(table.row_ids) == len(draw.prepared.keys), "a row could not be featurised"
    return [int(name) for name in table.row_ids]


def potential_features(rows: list[int], kit: Path) -> Mapping[int, tuple[float, float, list[float]]]:
    """Energy in eV/atom, bulk modulus in GPa and crystal features (64,) by row; computed where they are not there."""
    folder = WORK / "chgnet"
    folder.mkdir(parents=True, exist_ok=True)
    wanted, out = folder / "rows.json", folder / f"{TARGET}.jsonl"
    wanted.write_text(json.dumps(rows))
    command = [peer_python(), "-m", "benchmarks.peers.chgnet_features", kit / TARGETS[TARGET].file, wanted, out]
    subprocess.run([str(part) for part in command], check=True, cwd=PROJECT_ROOT)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    return {line["row"]: (line["e"], line["k"], line["features"]) for line in lines}


def error(draw: Draw, features: Features) -> float:
    """MAE of log10(K/GPa) on the rows that measure, of support vectors on `features` (rows, d)."""
    samples = CompositeSamples({BONDING.value: VectorSamples(features)})
    chosen = resolve_hyperparameters(Architecture.CGCNN, Method.SCRATCH, Hyperparameters(), N_ROWS)
    run = replace(draw, prepared=replace(draw.prepared, samples=samples)).run(
        Method.SCRATCH, chosen, None, draw.seed, every_part=True
    )
    entrant = next(e for e in regressors(InputKind.STRUCTURE, N_ROWS, has_sources=False) if e.name == ENTRANT)
    fold = (draw.fitted, draw.split.test)
    course = Course(run, np.arange(len(features)), draw.transformed, draw.prepared.keys, None, [fold])
    predictions = RegressorFits(course, entrant, n_threads=1).predict_fold(0, Watch())
    return float(np.abs(predictions - draw.transformed[draw.split.test]).mean())


def errors_of(draw: Draw, rows: list[int], known: Mapping[int, tuple[float, float, list[float]]]) -> dict[str, float]:
    part = draw.part(BONDING.value)
    assert isinstance(part, VectorSamples)
    moduli = np.log10(np.clip([known[row][1] for row in rows], 1.0, 600.0))[:, None]
    learned = np.array([[known[row][0], *known[row][2]] for row in rows])
    tested, labels = draw.split.test, draw.transformed[draw.split.test]
    found = {"CHGNet's bulk modulus itself": float(np.abs(moduli[tested, 0] - labels).mean())}
    columns = {
        "descriptors of bonds": [part.features],
        "CHGNet energy and crystal features": [learned],
        "these and CHGNet's bulk modulus": [learned, moduli],
        "descriptors of bonds, CHGNet's bulk modulus": [part.features, moduli],
        "descriptors of bonds, CHGNet energy and features": [part.features, learned],
        "all of them": [part.features, learned, moduli],
    }
    for name, parts in columns.items():
        found[name] = error(draw, np.hstack(parts).astype(np.float32))
    return found


def report(found: list[dict[str, float]]) -> str:
    about = machine()
    lines = [
        "# CHGNet features beside descriptors of bonds", "",
        f"Command: `python -m benchmarks.chgnet_features` ({datetime.now(UTC):%Y-%m-%d}; {about['processor']}).",
        f"Support vectors on {N_ROWS} bulk moduli, MAE of log10(K/GPa) on rows of other formulas, {len(found)} draws;",
        "p: two-sided paired t-test. CHGNet's modulus is from stresses at 0.99 and 1.01 times the volume, not relaxed.",
        "",
        "| features | test MAE | against descriptors of bonds |", "|---|---|---|",
    ]  # fmt: skip
    plain = np.array([each["descriptors of bonds"] for each in found])
    for name in found[0]:
        errors = np.array([each[name] for each in found])
        p = "" if name == "descriptors of bonds" else f" (p = {ttest_rel(errors, plain).pvalue:.2g})"
        gain = "-" if not p else f"{100 * (errors.mean() / plain.mean() - 1):+.1f} %{p}"
        lines.append(f"| {name} | {errors.mean():.4f} ± {errors.std(ddof=1):.4f} | {gain} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    kit = options.data_kit.resolve()
    draws = [draw_rows(TARGET, seed, kit, WORK / "transfer_levers") for seed in range(options.seeds)]
    rows = [file_rows(draw, kit) for draw in draws]
    known = potential_features(sorted(set().union(*rows)), kit)
    found = [errors_of(draw, each, known) for draw, each in zip(draws, rows, strict=True)]
    OUT.write_text(report(found))
    print(OUT.read_text())


if __name__ == "__main__":
    main()
