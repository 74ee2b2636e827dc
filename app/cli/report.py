"""`xtalforge report`: what a fine-tuning job found, as tables, as JSON, or as a page to read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.installation import DataDirOption, open_installation, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, ServerOption, print_error, print_json, print_table, stdout
from app.cli.server import Server
from app.jobs.kinds import JobKind

if TYPE_CHECKING:
    from app.fine_tuning.report_schemas import FineTuningReport, TournamentReport


def report(
    job: Annotated[str, typer.Argument(help="Id of the job, job_...")],
    page: Annotated[
        Path | None, typer.Option("--page", "-o", help="Write the page to read (HTML) to this file.")
    ] = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Show what the job JOB found: errors, and of method auto the ranking of all that competed."""
    if server is not None:
        with Server(server) as remote:
            found = _remote_report(remote, job)
    else:
        found = _local_report(job, data_dir)
    if page is not None:
        _write_page(found, page)
    if as_json:
        print_json(found)
    elif page is None:
        _print(found)


def _remote_report(remote: Server, job_id: str) -> "FineTuningReport":
    from app.fine_tuning.report_schemas import FineTuningReport

    return FineTuningReport.model_validate(remote.get(f"{JobKind.FINE_TUNING.path}/{job_id}/report"))


def _local_report(job_id: str, data_dir: Path | None) -> "FineTuningReport":
    from app.core.db import open_session
    from app.fine_tuning.service import FineTuningService

    settings = settings_with(data_dir=data_dir)
    with open_installation(settings) as local, open_session(local.sessions, read_only=True) as session:
        return FineTuningService(session, local.store, settings).report(job_id)


def _write_page(found: "FineTuningReport", page: Path) -> None:
    from app.fine_tuning.report_page import render_page

    try:
        page.write_text(render_page(found), encoding="utf-8")
    except OSError as error:
        print_error(f"{page} cannot be written: {error.strerror}.", "cannot_write")
        raise typer.Exit(EXIT_ERROR) from None


def _print(found: "FineTuningReport") -> None:
    unit = found.property.unit
    parts = ((name, part) for name, part in found.metrics if part is not None)
    print_table(
        f"{found.model.name}/{found.model.version}: {found.property.key} by {found.method.value}",
        ("rows", "number#", f"MAE ({unit})#", f"RMSE ({unit})#", f"MAE of the mean ({unit})#"),
        ((name, part.n, f"{part.mae:.4g}", f"{part.rmse:.4g}", f"{part.mad:.4g}") for name, part in parts),
    )
    if found.tournament is not None:
        _print_tournament(found.tournament, unit)
    stdout.print(found.outcome, markup=False, highlight=False)


def _print_tournament(tournament: "TournamentReport", unit: str) -> None:
    folds = [f"fold {number + 1}#" for number in range(tournament.n_folds)]
    winner = tournament.winner
    rows = [
        (
            e.name, f"{e.mae:.4g}", *(f"{error:.4g}" for error in e.fold_mae),
            "" if e.name == winner.name else f"{e.p_against_winner:.2g}", f"{e.weight:.0%}" if e.weight else "",
            f"{e.seconds:.1f}",
        )
        for e in tournament.entrants
    ]  # fmt: skip
    if winner.name not in {entrant.name for entrant in tournament.entrants}:
        rows.insert(0, (winner.name, f"{winner.mae:.4g}", *(f"{error:.4g}" for error in winner.fold_mae), "", "", ""))
    print_table(
        "The tournament: errors of rows not seen",
        ("entrant", f"MAE ({unit})#", *folds, "p against winner#", "share#", "seconds#"),
        rows,
    )
    for left in tournament.left_out:
        stdout.print(f"Left out: {left.name}: {left.why}", markup=False, highlight=False)
    stdout.print(tournament.reason, markup=False, highlight=False)
