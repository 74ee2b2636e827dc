"""Every entrant of the method `auto` on the test rows, beside what `auto` makes of them.

    python -m benchmarks.entrants --data-kit DIR --targets 500-K_VRH 180-NM-GW-Eg --seeds 10   # 1 to 11 minutes each

Rows and sources are those of `xtalforge reproduce tl-cgcnn --system auto`. A tournament is played as ever, on rows that
do not measure; then each entrant that played all folds becomes a model of its own (a regressor fitted to all rows, the
mean of a network's folds), and all of them predict the test rows. Lines of benchmarks/results/entrants/runs.jsonl are
kept: what is there is not run again. Writes report.md beside it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import ttest_rel
from tqdm import tqdm

from app.core.settings import PROJECT_ROOT
from app.learning.outputs import predict_outputs
from app.learning.strategies.automatic import Contest, play
from app.learning.strategies.run import SearchEvent
from app.learning.tournament.kept import Kept
from app.learning.tournament.rounds import Standing
from app.learning.training_job import open_run
from app.reproduction.execution import Bench, machine
from app.reproduction.protocols import Protocol, Target, get_protocol
from app.reproduction.tl_cgcnn import AUTO
from app.reproduction.trials import Places, make_trial, read_base
from benchmarks.result_lines import ResultLines

FOLDER = PROJECT_ROOT / "benchmarks/results/entrants"
SIGNIFICANT = 0.05

HEAD = """# The method `auto` and each of its entrants on the test rows

Machine: {machine}. Command: `python -m benchmarks.entrants`. Mean absolute error on 125 test rows (45 of the
quasiparticle gaps) of each draw, of log10 for 500-K_VRH and 500-NM-eps, else in eV or eV/atom. Each entrant that
played all folds of a draw, on its own, against `auto` on the same draws; p: paired t-test over draws. Entrants that
the first fold showed to be far behind, or behind two other networks, are no models and are not here.
"""


def run(protocol: Protocol, target: Target, seed: int, places: Places) -> dict[str, Any]:
    """Play the tournament of one draw and measure all models."""
    system = next(each for each in target.systems if each.line == AUTO and not each.strict)
    trial = make_trial(protocol, target, system, seed, places)
    sources = [read_base(protocol, name, places)[0] for name in system.candidates]
    started = time.monotonic()
    prepared, spec, base, parent = Bench(protocol, places).prepared(trial)

    def show(event: SearchEvent) -> None:
        tqdm.write(f"  {trial}: {event.text}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        opened = open_run(
            prepared, spec, base, parent, Path(folder), lambda _: None, lambda: False, on_search=show, sources=sources
        )
        contest = play(opened, Kept(opened.work_dir, opened.run_key))
        errors = {each.entrant.name: _error(contest, [(each, 1.0)]) for each in contest.findings.complete}
        winner = _error(contest, contest.findings.winners())
    return {
        "target": target.name, "seed": seed, "winner": contest.findings.winner, "auto": winner, "entrants": errors,
        "validated": {each.entrant.name: _validated(contest, each) for each in contest.findings.complete},
        "wall_s": round(time.monotonic() - started, 1), "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }  # fmt: skip


def _error(contest: Contest, standings: Sequence[tuple[Standing, float]]) -> float:
    """On the test rows, on the transformed scale."""
    whole = contest.course.run
    test = whole.split.test
    outputs = predict_outputs(contest.model_of(standings), whole.prepared.samples.take(test), whole.device)
    return float(np.abs(outputs - whole.transformed_labels(test)).mean())


def _validated(contest: Contest, standing: Standing) -> float:
    return float(contest.findings.errors(standing.predictions).mean())


def report(lines: Sequence[Mapping[str, Any]]) -> str:
    """A table of each target, and who was better than `auto`."""
    text = HEAD.format(machine=machine())
    for target in dict.fromkeys(line["target"] for line in lines):
        draws = sorted((line for line in lines if line["target"] == target), key=lambda line: line["seed"])
        text += (
            f"\n## {target}, {len(draws)} draws\n\n| entrant | draws | its error | `auto` there | difference | p |\n"
        )
        text += "|---|---|---|---|---|---|\n" + "".join(_rows(draws))
    return text


def _rows(draws: Sequence[Mapping[str, Any]]) -> list[str]:
    """From the best entrant to the worst."""
    found = []
    for name in dict.fromkeys(name for draw in draws for name in draw["entrants"]):
        both = [(draw["entrants"][name], draw["auto"]) for draw in draws if name in draw["entrants"]]
        single, auto = np.array(both).T
        p = ttest_rel(single, auto).pvalue if len(both) > 1 else np.nan
        better = " **better**" if single.mean() < auto.mean() and p < SIGNIFICANT else ""
        told = f"{p:.2g}{better}" if np.isfinite(p) else ""
        change = single.mean() / auto.mean() - 1.0
        cells = f"{len(both)} | {single.mean():.4f} | {auto.mean():.4f} | {change:+.1%} | {told}"
        found.append((change, f"| {name} | {cells} |\n"))
    return [row for _, row in sorted(found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-kit", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", default=["500-K_VRH", "180-NM-GW-Eg"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--models", type=Path, default=PROJECT_ROOT / "models_store")
    parser.add_argument("--results", type=Path, default=FOLDER)
    given = parser.parse_args()
    torch.set_num_threads(1)
    protocol = get_protocol("tl-cgcnn")
    targets = {target.name: target for target in protocol.targets}
    unknown = set(given.targets) - targets.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; those are: {', '.join(targets)}")
    results = ResultLines(given.results, report)
    places = Places(given.data_kit, given.models, PROJECT_ROOT / "data/reproduction")
    done = results.done("target", "seed")
    wanted = [(name, seed) for name in given.targets for seed in range(given.seeds) if (name, seed) not in done]
    for name, seed in tqdm(wanted, unit="draw"):
        line = run(protocol, targets[name], seed, places)
        best = min(line["entrants"], key=line["entrants"].get)
        results.add(line, f"{name}, {seed}: auto {line['auto']:.4f}, best {best} {line['entrants'][best]:.4f}")
    results.write_report()


if __name__ == "__main__":
    main()
