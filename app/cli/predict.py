"""`xtalforge predict`: predictions on this machine, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, JsonOption, print_csv, print_error, print_json, print_table, stderr
from app.predictions.schemas import Prediction, PredictionAnswer

_CSV_COLUMNS = ("input_id", "property", "value", "unit", "model", "version", "in_domain", "notes")


def predict(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CIF, POSCAR or JSON files, zips or folders.")
    ] = None,
    composition: Annotated[list[str] | None, typer.Option("--composition", "-c", help="A formula; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[list[str] | None, typer.Option("--property", "-p", help="A property key; repeatable.")] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
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
    with stderr.status("loading"):
        from app.cli.local_prediction import predict_locally
    settings = settings_with(data_dir=data_dir)
    answer = predict_locally(settings, files or [], composition or [], model or None, wanted or None)
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
            "", ("input", "property", "value#", "unit", "model", "remarks"), map(_table_row, answer.predictions)
        )
    for error in answer.errors:
        label = f"{error.input_id} by {error.model.name}" if error.model is not None else error.input_id
        print_error(f"{label}: {error.detail}", error.code)


def _csv_row(p: Prediction) -> tuple[object, ...]:
    in_domain = p.domain.in_domain if p.domain is not None else None
    return (p.input_id, p.property, p.value, p.unit, p.model.name, p.model.version, in_domain, "; ".join(p.notes))


def _table_row(p: Prediction) -> tuple[object, ...]:
    remarks = [*([p.domain.reason] if p.domain is not None else []), *p.notes]
    return (p.input_id, p.property, f"{p.value:.4f}", p.unit, f"{p.model.name}/{p.model.version}", "; ".join(remarks))
