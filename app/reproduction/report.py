"""Tables of a reproduction as markdown: the paper's figures, ours as in the paper, ours strict."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.reproduction.figures import draw_figures
from app.reproduction.protocols import Measure, Protocol, Published, Target
from app.reproduction.statistics import Spread, equivalent_size, gain
from app.reproduction.store import Record, ResultStore
from app.reproduction.summary import Cell, Summary, TargetResults, summarise
from app.reproduction.trials import Places, SourceMissing, read_manifest

REPORT_FILE = "report.md"
_SIGNIFICANT = 0.01


def write_report(protocol: Protocol, store: ResultStore, places: Places, command: Sequence[str]) -> Path:
    """Write `report.md` and the figures into the store's folder; the report's path."""
    store.folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(protocol, store, places)
    lines = [f"# {protocol.title}: reproduction of a paper", "", f"{protocol.citation}.", ""]
    lines += [*_circumstances(summary.records, command), ""]
    lines += [f"* {note}" for note in protocol.notes]
    lines += ["", *_how_to_read(), ""]
    for result in summary.results:
        lines += [f"## {result.target.name}", "", *_about(result.target), *_table(result), ""]
    lines += _equivalents(summary)
    lines += _sources(protocol, places)
    lines += _figures(draw_figures(summary, store.folder))
    lines += _unfinished(summary)
    path = store.folder / REPORT_FILE
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


def _circumstances(records: Sequence[Record], command: Sequence[str]) -> Iterator[str]:
    """Dates, command, machine, seeds, versions: of all trials in the tables."""
    if not records:
        yield "No trial has been run yet."
        return
    dates = sorted(record.at for record in records)
    seeds = sorted({record.trial["seed"] for record in records})
    versions = {f"{name} {each}" for record in records for name, each in record.versions.items()}
    yield f"Trials of {dates[0][:16]} to {dates[-1][:16]} UTC; tables by `{shlex.join(command)}`."
    yield f"Machine: {'; '.join(sorted({record.machine for record in records}))}; {', '.join(sorted(versions))}."
    hours = sum(record.wall_s for record in records) / 3600
    yield f"{len(records)} trials, seeds {seeds[0]} to {seeds[-1]}, {hours:.1f} hours of training, one thread a trial."


def _how_to_read() -> Iterator[str]:
    yield "Mean ± standard deviation of the test error over trials; in brackets how many (of pairs, at p), where some"
    yield "are missing."
    yield "p: two-sided paired t-test against the named line on equal test rows, as in the paper / strict;"
    yield f"**bold** where the line is better with p < {_SIGNIFICANT:g}, *(worse)* where it is worse. Systems without a"
    yield "source have seen nothing else: they have no strict column."


def _about(target: Target) -> Iterator[str]:
    yield f"`{target.property_key}`; {target.n_train} / {target.n_val} / {target.n_test} rows train / validate / test."
    if target.note:
        yield target.note
    yield ""


def _table(result: TargetResults) -> Iterator[str]:
    target = result.target
    columns = ["system"]
    for measure in target.measures:
        unit = f", {measure.unit}" if measure.unit else ""
        columns += [f"{measure.label}{unit}: paper", "as in the paper", "strict"]
    columns += [f"p against {line}" for line in _known_references(result)]
    columns += ["training error", "90 % intervals hold", "s a trial"]
    yield _row(columns)
    yield "|" + "---|" * len(columns)
    for line in result.lines:
        yield _row(list(_cells(result, line)))


def _cells(result: TargetResults, line: str) -> Iterator[str]:
    """One line of a table."""
    target, first = result.target, result.target.measures[0]
    yield line
    for measure in target.measures:
        yield _published(target.published.get(measure.key, {}).get(line), measure)
        for is_strict in (False, True):
            yield _measured(result.spread((line, is_strict), measure), measure, target)
    for reference in _known_references(result):
        yield " / ".join(filter(None, (_p_value(result, (line, s), reference) for s in (False, True)))) or "-"
    cell = (line, (line, False) not in result.cells)
    yield _measured(result.spread(cell, first, "train"), first, target)
    records = list(result.cells[cell].values())
    yield _held(records)
    yield f"{sum(record.wall_s for record in records) / len(records):.0f}"


def _known_references(result: TargetResults) -> list[str]:
    return [each for each in result.target.references if {(each, False), (each, True)} & result.cells.keys()]


def _p_value(result: TargetResults, cell: Cell, reference: str) -> str:
    measure = result.target.measures[0]
    p = result.p_value(cell, reference, measure)
    if p is None:
        return ""
    mine, other = result.paired(cell, reference, measure)
    difference = sum(mine) - sum(other)
    pairs = "" if len(mine) == result.target.n_trials else f" ({len(mine)})"
    if (difference > 0) == measure.lower_is_better:
        return f"{p:.2g}{pairs} *(worse)*"
    return f"**{p:.2g}**{pairs}" if p < _SIGNIFICANT else f"{p:.2g}{pairs}"


def _held(records: Sequence[Record]) -> str:
    """Share of test labels within their intervals, over the trials that recorded it."""
    known = [record.coverage for record in records if record.coverage is not None]
    if not known:
        return ""
    share = sum(each.share * each.n for each in known) / sum(each.n for each in known)
    return f"{share:.1%}" if len(known) == len(records) else f"{share:.1%} ({len(known)})"


def _measured(value: Spread | None, measure: Measure, target: Target) -> str:
    if value is None:
        return "-"
    text = f"{value.mean:.{measure.decimals}f}"
    if value.n > 1:
        text += f" ± {value.std:.{measure.decimals}f}"
    return text if value.n == target.n_trials else f"{text} ({value.n})"


def _published(figure: Published | None, measure: Measure) -> str:
    if figure is None:
        return ""
    spread = "" if figure.std is None else f" ± {figure.std:.{measure.decimals}f}"
    return f"{figure.mean:.{measure.decimals}f}{spread}"


def _equivalents(summary: Summary) -> Iterator[str]:
    """Table 2 of Lee & Asahi: training rows that scratch needs for the error of the transfer; and the gain."""
    rows = []
    for result in summary.results:
        transfers = {(s.line, s.strict) for s in result.target.systems if s.knows_more}
        pairs = [(cell, each) for cell in result.cells if cell in transfers for each in result.target.references]
        rows += [row for cell, each in pairs if (row := _equivalent(summary, result, cell, each))]
    if rows:
        yield from ("## Gains and equivalent training sizes", "")
        yield "Rows that the reference would need for the line's error, on a straight line through its logarithmic"
        yield "errors at the sizes named; `-` where it was measured at one size only or does not fall. Errors are"
        yield "those of trials that both have."
        yield ""
        yield _row(["target", "line", "reference", "error taken away", "equivalent rows", "sizes"])
        yield "|---|---|---|---|---|---|"
        yield from (_row(row) for row in rows)
        yield ""


def _equivalent(summary: Summary, result: TargetResults, cell: Cell, reference: str) -> list[str] | None:
    """One line of that table; None where one of the two was not measured."""
    measure = result.target.measures[0]
    mine, other = (sum(values) / max(1, len(values)) for values in result.paired(cell, reference, measure))
    usual = result.reference(cell, reference)
    if not mine or cell == usual:
        return None
    curve = [result] if not result.target.series else summary.of_series(result.target.series)
    points = [(each.target.n_train, s.mean) for each in curve if (s := each.spread(usual, measure))]
    at_this_size = dict(points)[result.target.n_train]
    size = equivalent_size([n for n, _ in points], [error for _, error in points], at_this_size * mine / other)
    name = cell[0] + (", strict" if cell[1] else "")
    sizes = ", ".join(str(n) for n, _ in points)
    taken = f"{gain(mine, other):.1f} %"
    return [result.target.name, name, reference, taken, "-" if size is None else f"{size:.0f}", sizes]


def _sources(protocol: Protocol, places: Places) -> Iterator[str]:
    yield from ("## Sources", "")
    yield _row(["source", "model", "training rows", "test MAE", "test rows", "s", "rows left out"])
    yield "|---|---|---|---|---|---|---|"
    for name, source in protocol.sources.items():
        try:
            manifest = read_manifest(protocol, name, places)
        except SourceMissing:
            yield _row([name, f"not on this machine: `xtalforge reproduce {protocol.name} --source {name}`", *[""] * 5])
            continue
        test, training = manifest.metrics.test, manifest.training
        assert test is not None
        mae = f"{test.mae:.4f} {manifest.property.unit}"
        left_out = "; ".join(training.filters)
        origin = "; ".join(filter(None, (source.shipped or "trained for this", source.note)))
        yield _row(
            [name, origin, f"{training.n_train:,}", mae, f"{test.n:,}",
             f"{training.wall_s or 0:.0f}", left_out]
        )  # fmt: skip
    yield ""


def _figures(files: Sequence[tuple[str, str]]) -> Iterator[str]:
    if files:
        yield from ("## Figures", "")
        for name, title in files:
            yield from (f"![{title}]({name})", "")


def _unfinished(summary: Summary) -> Iterator[str]:
    failures = [failure for result in summary.results for failure in result.failures()]
    if failures:
        yield from ("## Failed trials", "", *(f"* {failure}" for failure in failures), "")
    if summary.missing:
        yield from ("## Not run yet", "", "The same command runs them.", "")
        yield from (f"* {target}: {_counted(lines)}" for target, lines in summary.missing.items())
        yield ""
    if summary.n_outdated:
        yield f"{summary.n_outdated} stored results are of other settings, sources or data and are not shown."


def _counted(missing: Mapping[str, tuple[int, int]]) -> str:
    """Systems begun, with their numbers of trials; then those that have none."""
    begun = [f"{line} ({n} of {total})" for line, (n, total) in missing.items() if n]
    rest = [line for line, (n, _) in missing.items() if not n]
    return "; ".join(begun + ([f"none of {', '.join(f'`{line}`' for line in rest)}"] if rest else []))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
