"""The table of levers: mean error, spread over seeds, paired differences to the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.harness import machine
from benchmarks.transfer_levers_catalogue import LEVERS, TUNED_SCRATCH

HEAD = """# Levers of transfer learning on equal rows

Command: `python -m benchmarks.transfer_levers` ({dates}; {processor}, {cores} cores shared with others, one thread).
A seed draws 500 rows that train, 125 that choose the epoch and 640 to 1,000 rows of other formulas that measure: the
same for every lever. Errors: MAE of log10(K/GPa) for `k_vrh`, of the property's unit else, mean ± standard deviation
over seeds. Differences are paired, in percent of the other's error, with p of a two-sided paired t-test over the seeds
that both have: of {n_levers} comparisons some are below 0.05 by chance, and draws of different seeds share rows.
`scratch` is the best of its settings on validation rows, of those that ran on all its seeds (here: {scratch}).
Seconds are of one core beside other work.
"""
COLUMNS = """| lever | what | seeds | test MAE | against fine_tune | against scratch | median s |
|---|---|---|---|---|---|---|"""
Lines = Sequence[Mapping[str, Any]]


def report(lines: Lines) -> str:
    """Of each target the levers in the order of the catalogue."""
    about = machine()
    dates = sorted({line["date"][:10] for line in lines})
    found = [
        HEAD.format(
            dates=" to ".join(dict.fromkeys((dates[0], dates[-1]))), processor=about["processor"],
            cores=about["cores"], n_levers=len({line["lever"] for line in lines}),
            scratch="; ".join(f"{target}: {_best_scratch(lines, target)}" for target in _targets(lines)),
        )
    ]  # fmt: skip
    for target in _targets(lines):
        found += [f"## {target}"]
        for family in dict.fromkeys(lever.family for lever in LEVERS.values()):
            rows = [_row(lines, target, name) for name, lever in LEVERS.items() if lever.family == family]
            if any(rows):
                found += [f"\n### {family.capitalize()}\n", COLUMNS, *filter(None, rows)]
        left = [name for name in LEVERS if not _errors(lines, target, name)]
        found += ["", f"Not run: {'; '.join(left)}.", ""] if left else [""]
    return "\n".join(found)


def _targets(lines: Lines) -> list[str]:
    return list(dict.fromkeys(line["target"] for line in lines))


def _errors(lines: Lines, target: str, lever: str, column: str = "mae") -> dict[int, float]:
    """By seed."""
    own = [line for line in lines if (line["target"], line["lever"]) == (target, lever)]
    return {line["seed"]: line[column] for line in own}


def _best_scratch(lines: Lines, target: str) -> str:
    """The setting with the lowest mean validation error, of those tried on every seed of the preset's own."""
    seeds = set(_errors(lines, target, "scratch"))
    tried = [name for name in TUNED_SCRATCH if seeds and seeds <= set(_errors(lines, target, name))]
    means = {name: np.mean([_errors(lines, target, name, "val_mae")[seed] for seed in seeds]) for name in tried}
    return min(tried, key=lambda name: means[name], default="scratch")


def _row(lines: Lines, target: str, name: str) -> str:
    errors = _errors(lines, target, name)
    if not errors:
        return ""
    values = np.array(list(errors.values()))
    spread = f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
    against = [
        _difference(errors, _errors(lines, target, other)) if other != name else "-"
        for other in ("fine_tune", _best_scratch(lines, target))
    ]
    seconds = np.median(list(_errors(lines, target, name, "seconds").values()))
    about = LEVERS[name].about
    return f"| {name} | {about} | {len(values)} | {values.mean():.4f}{spread} | {' | '.join(against)} | {seconds:.0f} |"


def _difference(errors: Mapping[int, float], others: Mapping[int, float]) -> str:
    seeds = sorted(set(errors) & set(others))
    if not seeds:
        return ""
    ours, theirs = (np.array([each[seed] for seed in seeds]) for each in (errors, others))
    gain = f"{100 * (ours.mean() / theirs.mean() - 1):+.1f} %"
    if len(seeds) < 2 or (ours == theirs).all():
        return gain
    return f"{gain} (p = {stats.ttest_rel(ours, theirs).pvalue:.2g})"
