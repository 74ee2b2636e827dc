"""`xtalforge predict-bulk`: predictions for a file of any length, here or on a server."""

from pathlib import Path
from typing import Annotated

import typer

from app.bulk.formats import ResultFormat
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import (
    EXIT_ERROR,
    EXIT_PARTIAL,
    IntervalLevelOption,
    JsonOption,
    ServerOption,
    print_error,
    print_json,
    stderr,
)
from app.predictions.schemas import DEFAULT_LEVEL

_FORMATS = {f".{fmt.value}": fmt for fmt in ResultFormat}


def predict_bulk(
    data: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV, JSONL or Parquet with a column cif, poscar, structure, composition "
            "or formula, and id if you like; or a zip of structure files.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", dir_okay=False, help="A .csv, .jsonl or .parquet file.")],
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[list[str] | None, typer.Option("--property", "-p", help="A property key; repeatable.")] = None,
    level: IntervalLevelOption = DEFAULT_LEVEL,
    processes: Annotated[int | None, typer.Option(min=1, help="[default: one for each core]")] = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Predict from every row of DATA; the results have a line for each input and model.

    Stopped with Ctrl-C, the same command goes on where it was. Exit status 0: every input has a value. 3: some have
    none (the results say why). 1: none has.
    """
    fmt = _FORMATS.get(output.suffix.lower())
    if fmt is None:
        raise typer.BadParameter("must end with .csv, .jsonl or .parquet", param_hint="--output")
    if model and wanted:
        raise typer.BadParameter("give --model or --property, not both: a model predicts one property")
    if server is not None and processes is not None:
        raise typer.BadParameter("a server has its own number of processes", param_hint="--processes")
    with stderr.status("loading"):
        from app.bulk.schemas import ModelChoice

    choice = ModelChoice(models=model or None, properties=wanted or None, interval_level=level)
    if server is not None:
        from app.cli.remote_bulk import run_on_server

        done, failed = run_on_server(server, data, output, fmt, choice)
    else:
        from app.cli.local_bulk import run_here

        done, failed = run_here(settings_with(data_dir=data_dir), data, output, fmt, choice, processes)
    if as_json:
        print_json({"output": str(output), "n_inputs": done, "n_failed": failed})
    stderr.print(f"{done - failed:,} of {done:,} inputs have values: {output}", markup=False, highlight=False)
    if failed:
        print_error(f"{failed:,} inputs have no value; the column error_detail says why.", "inputs_failed")
        raise typer.Exit(EXIT_PARTIAL if failed < done else EXIT_ERROR)
