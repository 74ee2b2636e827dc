"""`xtalforge predict`: predictions on this machine, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    IntervalLevelOption,
    JsonOption,
    ServerOption,
    print_csv,
    print_error,
    print_json,
    print_table,
    stderr,
)
from app.predictions.schemas import DEFAULT_LEVEL, MAX_NEIGHBOURS, Prediction, PredictionAnswer

_CSV_COLUMNS = (
    "input_id", "property", "value", "lower", "upper", "unit", "model", "version", "in_domain", "domain_score", "notes",
)  # fmt: skip


def predict(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CIF, POSCAR or JSON files, zips or folders.")
    ] = None,
    composition: Annotated[list[str] | None, typer.Option("--composition", "-c", help="A formula; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[list[str] | None, typer.Option("--property", "-p", help="A property key; repeatable.")] = None,
    level: IntervalLevelOption = DEFAULT_LEVEL,
    neighbours: Annotated[
        int, typer.Option(min=0, max=MAX_NEIGHBOURS, help="Nearest training rows to list with each value (--json).")
    ] = 0,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Predict properties of crystals and compositions.

    Exit status 0: every input has an answer. 3: some have none (listed on stderr). 1: none has.
    """
    if not files and not composition:
        raise typer.BadParameter("give structure files or --composition")
    if model and wanted:
        raise typer.BadParameter("give --model or --property, not both: a model predicts one property")
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    asked = (files or [], composition or [], model or None, wanted or None)
    with stderr.status("loading"):
        from app.predictions.answers import Wishes

        if server is not None:
            from app.cli.remote_inputs import predict_on_server
        else:
            from app.cli.local_prediction import predict_locally
    wishes = Wishes(level, neighbours)
    if server is not None:
        answer = predict_on_server(server, *asked, wishes)
    else:
        answer = predict_locally(settings_with(data_dir=data_dir), *asked, wishes)
    _print(answer, as_json, as_csv)
    if answer.errors:
        raise typer.Exit(EXIT_PARTIAL if answer.predictions else EXIT_ERROR)


def _print(answer: PredictionAnswer, as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json(answer)
        return
    if as_csv:
        print_csv(_CSV_COLUMNS, (_csv_row(p) for p in answer.predictions))
    elif answer.predictions:
        print_table(
            "",
            ("input", "property", "value#", "interval#", "unit", "model", "remarks"),
            map(_table_row, answer.predictions),
        )
    for error in answer.errors:
        label = f"{error.input_id} by {error.model.name}" if error.model is not None else error.input_id
        print_error(f"{label}: {error.detail}", error.code)


def _csv_row(p: Prediction) -> tuple[object, ...]:
    lower, upper = (p.interval.lower, p.interval.upper) if p.interval is not None else (None, None)
    in_domain, score = (p.domain.in_domain, p.domain.score) if p.domain is not None else (None, None)
    return (
        p.input_id, p.property, p.value, lower, upper, p.unit, p.model.name, p.model.version, in_domain, score,
        "; ".join(p.notes),
    )  # fmt: skip


def _table_row(p: Prediction) -> tuple[object, ...]:
    is_outside = p.domain is not None and not p.domain.in_domain
    remarks = [*([p.domain.reason] if p.domain is not None and is_outside else []), *p.notes]
    interval = f"{p.interval.lower:.4f} to {p.interval.upper:.4f}" if p.interval is not None else ""
    return (
        p.input_id,
        p.property,
        f"{p.value:.4f}",
        interval,
        p.unit,
        f"{p.model.name}/{p.model.version}",
        "; ".join(remarks),
    )
