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
    """Clear away objects, job folders and broken-off uploads that no data set, model or job needs, old audit rows and
    what jobs told that ended long ago.

    The service may go on meanwhile. Objects go to the trash first, and for good by a later round after the same time.
    Workers do the same by themselves, every XTALFORGE_UPKEEP__EVERY_HOURS.
    """
    from app.access.retention import prune_audit_log
    from app.core.orm import utc_now
    from app.jobs.retention import prune_events
    from app.maintenance.gc import collect_garbage

    settings = settings_with(data_dir=data_dir)
    audit_days, event_days = settings.upkeep.audit_days, settings.upkeep.event_days
    n_audit = n_events = 0
    with opened(settings) as (engine, store):
        cleared = collect_garbage(engine, store, settings, timedelta(hours=grace_hours), dry_run=dry_run)
        if audit_days:
            n_audit = prune_audit_log(engine, utc_now() - timedelta(days=audit_days), dry_run=dry_run)
        if event_days:
            n_events = prune_events(engine, utc_now() - timedelta(days=event_days), dry_run=dry_run)
    if as_json:
        print_json({**asdict(cleared), "audit_rows": n_audit, "event_rows": n_events, "dry_run": dry_run})
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{len(cleared.trashed):,} objects ({cleared.size_bytes:,} bytes) {would}moved to the trash, "
        f"{len(cleared.deleted):,} {would}deleted from it, {len(cleared.rescued):,} {would}moved back; "
        f"{len(cleared.job_folders):,} job folders, {len(cleared.broken_uploads):,} broken-off uploads, "
        f"{n_audit:,} rows of the audit log and {n_events:,} events of old jobs {would}removed."
    )
