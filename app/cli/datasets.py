"""`xtalforge datasets`: look at a data set before training on it."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from app.cli.api import api
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    JsonOption,
    ServerOption,
    print_json,
    print_record,
    print_records,
    print_table,
    stdout,
)
from app.cli.server import Server
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


DatasetArgument = Annotated[str, typer.Argument(help="Id of the data set, ds_...")]

PATH = "/v1/datasets"
_COLUMNS = {
    "id": "data set", "name": "name", "property.key": "property", "property.unit": "unit", "input_kind": "rows hold",
    "n_rows": "rows#", "created_at": "made",
}  # fmt: skip


def _api(server: str | None, data_dir: Path | None) -> AbstractContextManager[Server]:
    return api(server, data_dir, "app.datasets.routes")


@app.command()
def upload(
    data: DataArgument,
    property_key: PropertyOption,
    name: Annotated[str, typer.Option("--name", "-n", help="A name for people. [default: that of the file]")] = "",
    unit: UnitOption = None,
    transform: TransformOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Check and store DATA. Exit status 0: every row can be used. 3: some cannot."""
    fields = {"property": property_key, "name": name, "unit": unit, "transform": transform and transform.value}
    with _api(server, data_dir) as service:
        stored = service.create(PATH, file=data, fields={key: value for key, value in fields.items() if value})
    if as_json:
        print_json(stored)
    else:
        typer.echo(stored["id"])
        _print_report(ValidationReport.model_validate(stored["report"]))
    if stored["report"]["n_failed"]:
        raise typer.Exit(EXIT_PARTIAL)


@app.command("list")
def list_datasets(
    property_key: Annotated[str | None, typer.Option("--property", "-p", help="Only those of this property.")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the data sets, newest first."""
    with _api(server, data_dir) as service:
        print_records(service.items(PATH, property=property_key), _COLUMNS, as_json=as_json)


@app.command()
def show(
    dataset: DatasetArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Show what was found in a data set."""
    with _api(server, data_dir) as service:
        found = service.get(f"{PATH}/{dataset}")
    if as_json:
        print_json(found)
    else:
        _print_report(ValidationReport.model_validate(found["report"]))


@app.command()
def delete(
    dataset: DatasetArgument, as_json: JsonOption = False, server: ServerOption = None, data_dir: DataDirOption = None
) -> None:
    """Delete a data set; refused while a job or a model version needs it."""
    with _api(server, data_dir) as service:
        service.send("DELETE", f"{PATH}/{dataset}")
    print_record({"deleted": dataset}, as_json=as_json)


@app.command()
def validate(
    data: DataArgument,
    property_key: PropertyOption,
    unit: UnitOption = None,
    transform: TransformOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every row of DATA as an upload would, without storing anything.

    Exit status 0: every row can be used. 3: some cannot. 1: it would be refused.
    """
    from app.datasets.inspection import inspect_table
    from app.datasets.readers import read_dataset

    spec = resolve_property(property_key, unit, transform)
    with data.open("rb") as file:
        report = inspect_table(read_dataset(file, spec.key, settings_with().limits), spec).report
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.refused is not None:
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
    if report.refused is not None:
        stdout.print(f"An upload is refused: {report.refused}", markup=False, highlight=False)
