"""`xtalforge db`: the schema of the database."""

import typer

from app.cli.installation import DataDirOption, settings_with
from app.cli.output import EXIT_ERROR, JsonOption, print_error, print_json

app = typer.Typer(no_args_is_help=True, help="The schema of the database.")


@app.command()
def upgrade(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Bring the database to the schema of this version; safe to repeat."""
    from app.core.db import upgrade_to_head

    upgrade_to_head(settings_with(data_dir=data_dir).resolved_database_url)
    if as_json:
        print_json({"is_at_head": True})
    else:
        typer.echo("The database is up to date.")


@app.command()
def current(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Show the revision of the database and the one that is needed; exit status 1 when they differ."""
    from app.core.db import create_engine_for
    from app.core.migrations import schema_state

    engine = create_engine_for(settings_with(data_dir=data_dir).resolved_database_url)
    try:
        state = schema_state(engine)
    finally:
        engine.dispose()
    if as_json:
        print_json({"current": state.current, "head": state.head, "is_at_head": state.is_at_head})
    else:
        typer.echo(f"at {state.current or 'no revision'}, needed {state.head}")
    if not state.is_at_head:
        raise typer.Exit(EXIT_ERROR)


@app.command()
def check(as_json: JsonOption = False) -> None:
    """Check that the migrations lead to the tables which the code declares (on a fresh SQLite database)."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from alembic.util import CommandError

    from app.core.db import check as check_migrations
    from app.core.db import upgrade_to_head

    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'check.db'}"
        upgrade_to_head(url)
        try:
            check_migrations(url)
        except CommandError as error:
            print_error(str(error), "migrations_differ")
            raise typer.Exit(EXIT_ERROR) from None
    if as_json:
        print_json({"agree": True})
    else:
        typer.echo("Migrations and tables agree.")
