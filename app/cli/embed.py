"""`xtalforge embed`: feature vectors on this machine, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, ServerOption, print_csv, print_error, print_json, stderr


def embed(
    model: Annotated[str, typer.Option("--model", "-m", help="NAME, NAME@ALIAS or NAME/VERSION.")],
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="CIF, POSCAR or JSON files, zips or folders.")
    ] = None,
    composition: Annotated[list[str] | None, typer.Option("--composition", "-c", help="A formula; repeatable.")] = None,
    contributions: Annotated[
        bool, typer.Option("--contributions", help="Also what each atom adds to the value (SchNet models, not in CSV).")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as without it.")] = False,
    server: ServerOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Feature vectors of crystals and compositions, as MODEL sees them, as JSON.

    Exit status 0: every input has a vector. 3: some have none (listed on stderr). 1: none has.
    """
    if not files and not composition:
        raise typer.BadParameter("give structure files or --composition")
    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    asked = (files or [], composition or [], model)
    if server is not None:
        from app.cli.remote_inputs import embed_on_server

        answer = embed_on_server(server, *asked, contributions=contributions)
    else:
        with stderr.status("loading"):
            from app.cli.local_prediction import embed_locally
        answer = embed_locally(settings_with(data_dir=data_dir), *asked, contributions=contributions)
    if as_csv:
        columns = ("input_id", *(f"f{index}" for index in range(answer.dimension)))
        print_csv(columns, ((each.input_id, *each.vector) for each in answer.embeddings))
    else:
        print_json(answer)
    for error in answer.errors:
        print_error(f"{error.input_id}: {error.detail}", error.code)
    if answer.errors:
        raise typer.Exit(EXIT_PARTIAL if answer.embeddings else EXIT_ERROR)
