"""`xtalforge predict-bulk`: predictions for a file of any length, here or on a server."""

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
    print_error,
    print_json,
    print_record,
    stderr,
)
from app.cli.result_file import result_format
from app.cli.starting import DatasetOption, DetachOption, Started, WebhookOption, WebhookSecretOption
from app.predictions.schemas import DEFAULT_LEVEL


def predict_bulk(
    data: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="CSV, JSONL or Parquet with a column cif, poscar, structure, composition "
            "or formula, and id if you like; or a zip of structure files.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", dir_okay=False, help="A .csv, .jsonl or .parquet file.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")] = None,
    wanted: Annotated[list[str] | None, typer.Option("--property", "-p", help="A property key; repeatable.")] = None,
    level: IntervalLevelOption = DEFAULT_LEVEL,
    processes: Annotated[int | None, typer.Option(min=1, help="[default: one for each core]")] = None,
    dataset: DatasetOption = None,
    is_detached: DetachOption = False,
    webhook: WebhookOption = None,
    webhook_secret_file: WebhookSecretOption = None,
    as_json: JsonOption = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Predict from every row of DATA; the results have a line for each input and model.

    Stopped with Ctrl-C, the same command goes on where it was. Exit status 0: every input has a value. 3: some have
    none (the results say why). 1: none has.
    """
    started = Started(server, webhook, webhook_secret_file, is_detached)
    if (data is None) == (dataset is None):
        raise typer.BadParameter("give a file, or --dataset of a server")
    if dataset is not None and server is None:
        raise typer.BadParameter("it is read where it is stored: give --server, or a file", param_hint="--dataset")
    if (output is None) != is_detached:
        raise typer.BadParameter("give --output, or --detach and fetch the results later", param_hint="--output")
    fmt = result_format(output) if output is not None else None
    if model and wanted:
        raise typer.BadParameter("give --model or --property, not both: a model predicts one property")
    if server is not None and processes is not None:
        raise typer.BadParameter("a server has its own number of processes", param_hint="--processes")
    with stderr.status("loading"):
        from app.bulk.schemas import ModelChoice

    choice = ModelChoice(models=model or None, properties=wanted or None, interval_level=level)
    if server is not None:
        from app.cli.remote_bulk import fetch_from_server, start_on_server
        from app.cli.server import Server

        with Server(server) as remote:
            job = start_on_server(remote, data, dataset, choice, started)
            if output is None or fmt is None:
                print_record(job, as_json=as_json)
                return
            done, failed = fetch_from_server(remote, job, output, fmt)
    else:
        from app.cli.local_bulk import run_here

        assert data is not None and output is not None and fmt is not None
        done, failed = run_here(settings_with(data_dir=data_dir), data, output, fmt, choice, processes)
    _report(done, failed, output, as_json)


def _report(done: int, failed: int, output: Path, as_json: bool) -> None:
    if as_json:
        print_json({"output": str(output), "n_inputs": done, "n_failed": failed})
    stderr.print(f"{done - failed:,} of {done:,} inputs have values: {output}", markup=False, highlight=False)
    if failed:
        print_error(f"{failed:,} inputs have no value; the column error_detail says why.", "inputs_failed")
        raise typer.Exit(EXIT_PARTIAL if failed < done else EXIT_ERROR)
