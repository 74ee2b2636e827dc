"""The `xtalforge` command: each group of commands is a module, and imports what is heavy only when it runs."""

from importlib.metadata import version
from typing import Annotated

import typer

from app.cli import datasets, db, jobs, keys, models, webhooks
from app.cli.audit import audit
from app.cli.backup import backup, move, restore
from app.cli.calibrate import calibrate
from app.cli.catalogue import methods, properties, status
from app.cli.embed import embed
from app.cli.fine_tune import fine_tune
from app.cli.gc import gc
from app.cli.import_model import import_model
from app.cli.openapi import openapi
from app.cli.output import ReportingGroup
from app.cli.predict import predict
from app.cli.predict_bulk import predict_bulk
from app.cli.pretrain import pretrain
from app.cli.report import report
from app.cli.reproduce import reproduce
from app.cli.screen import screen
from app.cli.structures import structures
from app.cli.suggest import suggest
from app.cli.up import up

app = typer.Typer(
    cls=ReportingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Predict properties of crystals, and make new models from your own data.",
)
app.command()(up)
app.command()(predict)
app.command()(embed)
app.command()(structures)
app.command()(predict_bulk)
app.command()(screen)
app.command()(suggest)
app.command()(fine_tune)
app.command()(report)
app.add_typer(jobs.app, name="jobs")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.command()(properties)
app.command()(methods)
app.command()(status)
app.command()(pretrain)
app.command()(calibrate)
app.command()(reproduce)
app.command("import")(import_model)
app.command()(openapi)
app.add_typer(db.app, name="db")
app.add_typer(keys.app, name="keys")
app.add_typer(keys.tenants_app, name="tenants")
app.command()(audit)
app.command()(backup)
app.command()(restore)
app.command()(move)
app.command()(gc)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("xtalforge"))
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    return


if __name__ == "__main__":
    app()
