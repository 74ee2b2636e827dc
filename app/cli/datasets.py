"""`xtalforge datasets`: look at a data set before training on it."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.installation import settings_with
from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, JsonOption, print_json, print_table, stdout
from app.datasets.report import ValidationReport
from app.properties.catalogue import Transform, resolve_property

SHOWN_FAILURES = 20

app = typer.Typer(no_args_is_help=True, help="Data sets for fine-tuning.")

DataArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="CSV, JSONL, Parquet, or zip of CIFs with id_prop.csv.")
]
PropertyOption = Annotated[
    str, typer.Option("--property", "-p", help="What the labels are: a key of the catalogue, or one of your own.")
]
UnitOption = Annotated[str | None, typer.Option(help="Unit of the labels, needed for a property of your own.")]
TransformOption = Annotated[Transform | None, typer.Option(help="Scale to learn a property of your own on.")]


@app.command()
def validate(
    data: DataArgument,
    property_key: PropertyOption,
    unit: UnitOption = None,
    transform: TransformOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every row of DATA as an upload would, without storing anything.

    Exit status 0: every row can be used. 3: some cannot. 1: too few can.
    """
    from app.datasets.inspection import MIN_USABLE_ROWS, inspect_table
    from app.datasets.readers import read_dataset

    spec = resolve_property(property_key, unit, transform)
    with data.open("rb") as file:
        report = inspect_table(read_dataset(file, spec.key, settings_with().limits), spec).report
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.n_usable < MIN_USABLE_ROWS:
        raise typer.Exit(EXIT_ERROR)
    if report.n_failed:
        raise typer.Exit(EXIT_PARTIAL)


def _print_report(report: ValidationReport) -> None:
    facts: list[tuple[str, object]] = [
        ("rows", report.n_rows),
        ("usable", report.n_usable),
        ("cannot be used", report.n_failed),
        ("repeated, left out", report.n_duplicates),
        ("same input, other label", report.n_conflicts),
        ("outliers", report.n_outliers),
        ("different formulas", report.n_formulas),
    ]
    if report.labels is not None:
        s = report.labels
        facts.append((f"labels ({s.unit})", f"{s.min:.4g} to {s.max:.4g}, mean {s.mean:.4g}, std {s.std:.4g}"))
    kind = report.input_kind.value if report.input_kind is not None else "nothing usable"
    print_table(f"{report.format} with a {kind} in each row", ("", "#"), facts)
    if report.failures:
        shown = report.failures[:SHOWN_FAILURES]
        print_table("Rows that cannot be used", ("line#", "id", "why"), ((f.line, f.row_id, f.detail) for f in shown))
    for warning in report.warnings:
        stdout.print(f"- {warning}", markup=False, highlight=False)
