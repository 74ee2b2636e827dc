"""Tables and plots of the results in a folder: `python -m benchmarks.report FOLDER [--plots]`.

Reads the JSON files of the parts, writes `speed.md` and, with `--plots` (needs matplotlib), SVG files beside it.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, Spread, ratio

PARTS = ("ingestion", "inference", "training", "memory")
_TITLES = {
    "ingestion": "Ingestion: CIF file to structure to graph",
    "inference": "Inference: CIF file to prediction",
    "training": "Training",
    "memory": "Memory",
    "http": "The service over HTTP",
}


def write_report(folder: Path) -> str:
    """The whole report as markdown, also written to `speed.md`."""
    results = {name: json.loads((folder / f"{name}.json").read_text()) for name in _present(folder)}
    lines = [
        "# Speed and memory beside other packages",
        "",
        "All rows of a case come from one run: contenders in processes of their own work in turns, every other round",
        "in the opposite order. Figures are medians over rounds (smallest to largest). `ratio` is how many times as",
        "fast as the row marked `1`: the median of the ratios of rounds next to each other. CPU s is what all threads",
        "together used, which other load on the machine disturbs less. `n x t` = processes x threads each.",
        "",
    ]
    for name, result in results.items():
        lines += [f"## {_TITLES[name]}", "", *_about(result), ""]
        lines += list(_http_tables(result)) if name == "http" else list(_tables(_rows(result)))
    text = "\n".join(lines).rstrip() + "\n"
    (folder / "speed.md").write_text(text)
    return text


def _present(folder: Path) -> Iterator[str]:
    return (name for name in (*PARTS, "http") if (folder / f"{name}.json").is_file())


def _rows(result: dict[str, Any]) -> list[Row]:
    return [Row.from_json(data) for data in result["rows"]]


def _about(result: dict[str, Any]) -> Iterator[str]:
    """Date, machine, versions, inputs, command."""
    where = result["machine"]
    if isinstance(where, dict):
        where = (
            f"{where['processor']}, {where['cores']} cores, {where['memory_gb']} GB, {where['system']}, "
            f"load before {where['load_before']}"
        )
    yield f"{result['date']}; {where}; Python {result['python']}; `{result['command']}`"
    packages = sorted(set(result.get("packages", {}).values()))
    if packages:
        yield ""
        yield "Packages: " + "; ".join(packages) + f"; numpy {result['numpy']}."
    about = result.get("inputs")
    if about:
        yield (
            f"Inputs: {about['source']}, seed {about['seed']}; {about['structures']} structures, mean "
            f"{about['sites_mean']} sites, median {about['sites_median']:g}, 95 % up to {about['sites_p95']:g}, "
            f"largest {about['sites_max']}."
        )


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    """One table per part; a case follows the other, series have their cases by x."""
    yield "| case | contender | n x t | median | spread | CPU s | per s | ratio | spread |"
    yield "|---|---|---|---|---|---|---|---|---|"
    notes: list[str] = []
    for group in grouped(rows):
        baseline = next((row for row in group if row.baseline), None)
        for row in group:
            if row.unit:
                yield _line(row, baseline)
            notes += _notes(row)
    yield ""
    yield from (f"* {note}" for note in dict.fromkeys(notes))
    if notes:
        yield ""


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that were measured together, in order: same case, same x; a case without a baseline row of its own
    thread count shares that of the case."""
    groups: dict[tuple[str, float | None, int], list[Row]] = {}
    for row in rows:
        same_case = [r for r in rows if (r.case, r.x) == (row.case, row.x)]
        several = sum(r.baseline for r in same_case) > 1
        groups.setdefault((row.case, row.x, row.threads if several else 0), []).append(row)
    return list(groups.values())


def _line(row: Row, baseline: Row | None) -> str:
    case = row.case if row.x is None else f"{row.case}: {row.x:g}"
    name = f"{row.contender} | {row.processes} x {row.threads}"
    spread = row.spread
    if spread is None:
        return f"| {case} | {name} | {row.why_missing} | | | | | |"
    relative = ratio(row, baseline) if baseline is not None else None
    told = f"{relative.median:.3g} | {_range(relative)}" if relative else "|"
    if row is baseline:
        told = "1 |"
    cpu = f"{Spread.of(row.cpu_rounds).median:.3g}" if row.cpu_rounds else ""
    if row.unit == "MB":
        return f"| {case} | {name} | {spread.median:.0f} MB | | {cpu} | | {told} |"
    rate = "" if "median" in row.case else f"{row.n_structures / spread.median:.0f}"
    return f"| {case} | {name} | {_seconds(spread.median)} | {_range(spread, _seconds)} | {cpu} | {rate} | {told} |"


def _range(spread: Spread, show: Any = lambda value: f"{value:.3g}") -> str:
    return f"{show(spread.low)} to {show(spread.high)}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 0.1 else f"{value * 1e3:.3g} ms"


def _notes(row: Row) -> Iterator[str]:
    """What a row says beside its times."""
    if "refused" in row.extra:
        yield f"{row.case}: {row.contender} refuses {row.extra['refused']}: {row.extra['first_reason']}"
    if "p95_s" in row.extra:
        yield f"{row.case}: 95 % of {row.contender}'s within {_seconds(row.extra['p95_s'])} (last round)"
    if not row.unit:
        figures = {k: v for k, v in row.extra.items() if not isinstance(v, dict)}
        yield f"{row.case}, {row.n_structures} CIFs: " + ", ".join(f"{k} {_figure(v)}" for k, v in figures.items())
        for key, value in row.extra.items():
            if isinstance(value, dict):
                yield f"{row.case}, {key}: " + ", ".join(f"{k} {_figure(v)}" for k, v in value.items())


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _http_tables(result: dict[str, Any]) -> Iterator[str]:
    """Every row as it was written, one column a field; what is nested is shown as JSON."""
    rows = result["rows"]
    columns = list(rows[0])
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(_cell(row[column]) for column in columns) + " |"
    yield ""
    for name in ("one_process", "several_processes"):
        for process in result.get(name, {}).get("memory", []):
            yield f"* {name.replace('_', ' ')}: {_cell(process)}"
        if "ready_s" in result.get(name, {}):
            yield f"* {name.replace('_', ' ')}: ready after {result[name]['ready_s']} s"
    yield ""


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_figure(inner)}" for key, inner in value.items())
    return _figure(value)


def draw(folder: Path) -> None:
    """Series over sizes and numbers on logarithmic axes, and bars of the rates of whole cases."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "xtalforge", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3})
    for name in _present(folder):
        if name == "http":
            continue
        rows = [row for row in _rows(json.loads((folder / f"{name}.json").read_text())) if row.rounds]
        for number, case in enumerate(dict.fromkeys(row.case for row in rows if row.x is not None)):
            _draw_series(folder / f"{name}_series_{number}.svg", case, [row for row in rows if row.case == case])
        _draw_bars(folder / f"{name}.svg", _TITLES[name], [row for row in rows if row.x is None])


def _draw_series(path: Path, case: str, rows: Sequence[Row]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name in dict.fromkeys(row.contender for row in rows):
        mine = [(row.x, row.spread, row.n_structures) for row in rows if row.contender == name]
        per = [(x, s.median / n * 1e3, s.low / n * 1e3, s.high / n * 1e3) for x, s, n in mine if s is not None]
        x, median, low, high = zip(*per, strict=True)
        axes.plot(x, median, marker="o", label=name)
        axes.fill_between(x, low, high, alpha=0.2)
    axes.set(xscale="log", yscale="log", title=case, ylabel="ms a structure")
    axes.set_xlabel("atoms a cell" if "atoms" in case else "structures")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_bars(path: Path, title: str, rows: Sequence[Row]) -> None:
    from matplotlib import pyplot as plt

    groups = grouped(rows)
    if not groups:
        return
    figure, panels = plt.subplots(
        len(groups), 1, figsize=(8, sum(0.6 + 0.28 * len(group) for group in groups)), layout="constrained",
        squeeze=False, gridspec_kw={"height_ratios": [0.6 + 0.28 * len(group) for group in groups]},
    )  # fmt: skip
    for axes, group in zip(panels[:, 0], groups, strict=True):
        spreads = [Spread.of(row.rounds) for row in group]
        values = [spread.median for spread in spreads]
        errors = [[v - s.low for v, s in zip(values, spreads, strict=True)], [s.high - s.median for s in spreads]]
        colours = ["tab:blue" if row.contender.startswith("xtalforge") else "tab:gray" for row in group]
        axes.barh(range(len(group)), values, xerr=errors, color=colours)
        axes.set_yticks(range(len(group)), [f"{row.contender}, {row.processes} x {row.threads}" for row in group])
        axes.invert_yaxis()
        axes.set_xlabel(group[0].unit)
        axes.set_title(group[0].case, fontsize=10, loc="left")
    figure.suptitle(title)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plots", action="store_true")
    options = parser.parse_args()
    write_report(options.folder)
    if options.plots:
        draw(options.folder)


if __name__ == "__main__":
    main()
