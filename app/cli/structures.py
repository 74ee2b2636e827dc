"""`xtalforge structures`: crystals as the models see them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.output import EXIT_ERROR, EXIT_PARTIAL, JsonOption, ServerOption, print_error, print_json, print_records

_COLUMNS = {
    "input_id": "input", "formula": "formula", "n_sites": "atoms#", "cell.a": "a (Å)#", "cell.b": "b (Å)#",
    "cell.c": "c (Å)#", "cell.volume": "volume (Å³)#", "notes": "remarks",
}  # fmt: skip

if TYPE_CHECKING:
    from app.cells.schemas import StructuresAnswer


def structures(
    files: Annotated[list[Path], typer.Argument(exists=True, help="CIF, POSCAR or JSON files, zips or folders.")],
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Read crystals as predictions do: symmetry applied, or the reason why they cannot be used.

    Exit status 0: every one can be used. 3: some cannot (listed on stderr). 1: none can.
    """
    if server is not None:
        from app.cli.remote_inputs import structures_on_server
        from app.cli.server import Server

        with Server(server) as remote:
            answer: dict[str, Any] = structures_on_server(remote, files)
    else:
        answer = _read_here(files).model_dump(mode="json")
    if as_json:
        print_json(answer)
    else:
        print_records(answer["structures"], _COLUMNS, as_json=False)
    for error in answer["errors"]:
        print_error(f"{error['input_id']}: {error['detail']}", error["code"])
    if answer["errors"]:
        raise typer.Exit(EXIT_PARTIAL if answer["structures"] else EXIT_ERROR)


def _read_here(files: list[Path]) -> "StructuresAnswer":
    from app.cells.views import structures_read
    from app.cli.inputs import read_inputs
    from app.cli.installation import settings_with
    from app.predictions.featuriser import Featuriser
    from app.predictions.inputs import Reading

    raw, failed = read_inputs(files, (), settings_with().limits)
    reading = Reading(raw, (), only_light=False)
    return structures_read([*reading.results(Featuriser().featurise(reading.tasks)), *failed])
