"""Can a cheap estimate tell which source is best to fine-tune from? Estimates beside the errors, on equal rows.

    python -m benchmarks.transferability --data-kit DIR --seeds 3                         # 20 minutes on one core

For each draw (500 rows train, 125 choose, up to 1,000 of other formulas measure: those of `transfer_levers`) and each
source: LogME of its embeddings (You et al., ICML 2021), the error of ridge regression on them in five folds, and
the error of fine-tuning in one fold, as the tournament of `auto` sees it; then the test error of fine-tuning on all
500 rows, and of training only what follows the source's representation. Lines of
benchmarks/results/transferability/runs.jsonl are kept; writes report.md beside them.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.core.settings import PROJECT_ROOT
from app.learning.checkpoints import load_network
from app.learning.embedding import embedded_outputs
from app.learning.networks.ensemble_settings import GRAPH
from app.registry.manifest import MANIFEST_FILE
from benchmarks.automatic import TARGETS
from benchmarks.harness import machine
from benchmarks.result_lines import ResultLines
from benchmarks.transfer_levers_catalogue import SOURCES
from benchmarks.transfer_levers_rows import draw_rows
from benchmarks.transfer_levers_sources import OWN_SOURCES
from benchmarks.transfer_levers_training import Lab, Training

FOLDER = PROJECT_ROOT / "benchmarks/results/transferability"
FloatArray = npt.NDArray[np.float64]
AS_IN_A_TOURNAMENT = Training(given=(("learning_rate", 3e-3), ("max_epochs", 50), ("patience", 50)))
ESTIMATES = {"logme": "LogME", "ridge_mae": "ridge on embeddings", "fold_mae": "fine-tuning in one fold"}
"""By the name in a line; of LogME more is better, of the others less."""
DENOISING = "cgcnn-denoising/1"
_RIDGE_ALPHAS = np.logspace(-2, 4, 13)


def logme(features: FloatArray, labels: FloatArray) -> float:
    """Largest log evidence a label of Bayesian linear regression on features (n, d), over both precisions."""
    n, d = features.shape
    left, singular, _ = np.linalg.svd(features, full_matrices=False)
    spectrum = singular**2
    projected = (left.T @ labels) ** 2
    outside = max(float(labels @ labels - projected.sum()), 0.0)
    alpha = beta = 1.0
    for _ in range(100):
        ratio = alpha / beta
        gamma = float((spectrum / (spectrum + ratio)).sum())
        weight_norm = float((spectrum * projected / (spectrum + ratio) ** 2).sum())
        residual = float((projected * (ratio / (spectrum + ratio)) ** 2).sum()) + outside
        alpha = gamma / max(weight_norm, 1e-12)
        beta = (n - gamma) / max(residual, 1e-12)
        if abs(alpha / beta - ratio) <= 1e-4 * ratio:
            break
    return log_evidence(spectrum, projected, outside, n, d, alpha, beta) / n


def log_evidence(
    spectrum: FloatArray, projected: FloatArray, outside: float, n: int, d: int, alpha: float, beta: float
) -> float:
    """Of labels whose squared projections on the left singular vectors are `projected`, the rest `outside` them."""
    ratio = alpha / beta
    weight_norm = float((spectrum * projected / (spectrum + ratio) ** 2).sum())
    residual = float((projected * (ratio / (spectrum + ratio)) ** 2).sum()) + outside
    log_determinant = float(np.log(alpha + beta * spectrum).sum()) + (d - spectrum.shape[0]) * np.log(alpha)
    return 0.5 * float(
        n * np.log(beta) + d * np.log(alpha) - n * np.log(2 * np.pi) - beta * residual - alpha * weight_norm
        - log_determinant
    )  # fmt: skip


def measure(lab: Lab, source: str) -> dict[str, Any]:
    """Estimates and error of one source on one draw."""
    draw, started = lab.draw, time.monotonic()
    network = load_network(*lab.base(source), torch.device("cpu"))
    features = embedded_outputs(network, draw.part(GRAPH), torch.device("cpu"))[1].astype(np.float64)
    labels, rows = draw.transformed, draw.fitted
    standard = StandardScaler().fit_transform(features[rows])
    found = {"logme": logme(standard, stats.zscore(labels[rows])), "ridge_mae": _ridge_error(lab, features)}
    estimated = time.monotonic()
    in_fold = lab.train(replace(AS_IN_A_TOURNAMENT, source=source, fold=0))
    held_out = draw.folds[0][1]
    tuned = lab.train(replace(AS_IN_A_TOURNAMENT, source=source))
    frozen = lab.train(replace(AS_IN_A_TOURNAMENT, source=source, is_frozen=True))
    errors, frozen_errors = (np.abs(trained.at_marks[-1] - labels) for trained in (tuned, frozen))
    return {
        "target": draw.target, "seed": draw.seed, "source": source, **found,
        "fold_mae": float(np.abs(in_fold.at_marks[-1] - labels)[held_out].mean()),
        "mae": float(errors[draw.split.test].mean()), "frozen_mae": float(frozen_errors[draw.split.test].mean()),
        "estimate_s": round(estimated - started, 2),
        "fold_s": round(in_fold.seconds, 1), "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }  # fmt: skip


def _ridge_error(lab: Lab, features: FloatArray) -> float:
    """Mean absolute error over the folds of the rows to learn from."""
    labels, errors = lab.draw.transformed, []
    for train, held_out in lab.draw.folds:
        model = make_pipeline(StandardScaler(), RidgeCV(_RIDGE_ALPHAS)).fit(features[train], labels[train])
        errors.append(np.abs(model.predict(features[held_out]) - labels[held_out]))
    return float(np.concatenate(errors).mean())


HEAD = """# Which source to fine-tune from, told beforehand

Command: `python -m benchmarks.transferability` ({date}; {processor}, {cores} cores shared with others, one thread).
Sources: {sources}.
Rank correlation: of what the estimate says and the test error after fine-tuning, over the sources of a draw (1: the
estimate orders them as the errors do); mean over draws. Regret: how much larger the error from the chosen source is
than the smallest one; mean over draws. Seconds: median, of one source.
"""
COLUMNS = (
    "| target | draws | estimate | rank correlation | chosen is best | regret | s |\n|---|---|---|---|---|---|---|"
)
ERRORS = "| target | draws | source | test error, fine-tuned | with the representation frozen |\n|---|---|---|---|---|"
Lines = Sequence[Mapping[str, Any]]


def report(lines: Lines) -> str:
    """Both tables: how good each estimate is, and the errors themselves."""
    about = machine()
    sources, targets = (list(dict.fromkeys(line[name] for line in lines)) for name in ("source", "target"))
    head = HEAD.format(
        date=max(line["date"] for line in lines)[:10], processor=about["processor"], cores=about["cores"],
        sources=", ".join(f"`{source}`" for source in sources),
    )  # fmt: skip
    by_estimate = [_estimate_row(lines, target, name) for target, name in product(targets, ESTIMATES)]
    by_source = [_source_row(lines, target, source) for target, source in product(targets, sources)]
    return "\n".join([head, COLUMNS, *by_estimate, "", ERRORS, *filter(None, by_source), ""])


def _estimate_row(lines: Lines, target: str, name: str) -> str:
    draws: dict[int, list[Mapping[str, Any]]] = {}
    for line in lines:
        if line["target"] == target:
            draws.setdefault(line["seed"], []).append(line)
    ranks, regrets = [], []
    for draw in draws.values():
        errors = [line["mae"] for line in draw]
        ranks.append(stats.spearmanr([_said(line, name) for line in draw], errors).statistic)
        regrets.append(min(draw, key=lambda line: _said(line, name))["mae"] / min(errors) - 1)
    seconds = np.median(
        [line["fold_s" if name == "fold_mae" else "estimate_s"] for each in draws.values() for line in each]
    )
    best = sum(regret == 0 for regret in regrets)
    return (
        f"| {target} | {len(draws)} | {ESTIMATES[name]} | {np.mean(ranks):.2f} | {best} of {len(draws)} | "
        f"{np.mean(regrets):.1%} | {seconds:.1f} |"
    )


def _said(line: Mapping[str, Any], name: str) -> float:
    """What the estimate says, less for a better source."""
    return float(-line[name] if name == "logme" else line[name])


def _source_row(lines: Lines, target: str, source: str) -> str:
    own = [line for line in lines if (line["target"], line["source"]) == (target, source)]
    if not own:
        return ""
    cells = [_mean([line[name] for line in own if line.get(name) is not None]) for name in ("mae", "frozen_mae")]
    return f"| {target} | {len(own)} | `{source}` | {' | '.join(cells)} |"


def _mean(errors: Sequence[float]) -> str:
    if not errors:
        return "-"
    spread = f" ± {np.std(errors, ddof=1):.4f}" if len(errors) > 1 else ""
    return f"{np.mean(errors):.4f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument(
        "--targets", nargs="+", default=["k_vrh", "g_vrh", "dielectric", "phonons", "gap_gllbsc"], choices=list(TARGETS)
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sources", nargs="+", default=[], help="NAME/VERSION; all there are when left out")
    parser.add_argument("--work-dir", type=Path, default=PROJECT_ROOT / ".work/transfer_levers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = ResultLines(FOLDER, report)
    done = results.done("target", "seed", "source")
    own = options.work_dir / "sources"
    sources = [*SOURCES, DENOISING, *(name for name in OWN_SOURCES if (own / name / MANIFEST_FILE).is_file())]
    sources = options.sources or sources
    for target, seed in product(options.targets, range(options.seeds)):
        wanted = [source for source in sources if (target, seed, source) not in done]
        if not wanted:
            continue
        draw = draw_rows(target, seed, options.data_kit, options.work_dir)
        lab = Lab(draw, options.work_dir, dict.fromkeys(OWN_SOURCES, own))
        for source in wanted:
            line = measure(lab, source)
            results.add(line, f"{target} seed {seed} {source}: {line['mae']:.4f}")
        results.write_report()


if __name__ == "__main__":
    main()
