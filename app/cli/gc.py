"""`xtalforge gc`: clear away what nothing refers to any more."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from app.cli.backup import opened
from app.cli.installation import DataDirOption, settings_with
from app.cli.output import JsonOption, print_json


def gc(
    grace_hours: Annotated[float, typer.Option(min=0.0, help="Younger objects are kept, named or not.")] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Clear away objects, job folders and broken-off uploads that no data set, model or job needs.

    The service may go on meanwhile. Objects go to the trash first, and for good by a later round after the same time.
    """
    from app.maintenance.gc import collect_garbage

    settings = settings_with(data_dir=data_dir)
    with opened(settings) as (engine, store):
        cleared = collect_garbage(engine, store, settings, timedelta(hours=grace_hours), dry_run=dry_run)
    if as_json:
        print_json({**asdict(cleared), "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{len(cleared.trashed):,} objects ({cleared.size_bytes:,} bytes) {would}moved to the trash, "
        f"{len(cleared.deleted):,} {would}deleted from it, {len(cleared.rescued):,} {would}moved back; "
        f"{len(cleared.job_folders):,} job folders, {len(cleared.broken_uploads):,} broken-off uploads {would}removed."
    )
