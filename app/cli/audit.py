"""`xtalforge audit`: what was done and what was refused."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.cli.installation import DataDirOption, open_database, settings_with
from app.cli.output import JsonOption, print_json, print_table

_COLUMNS = ("at", "tenant", "actor", "address", "action", "object", "outcome", "status#", "request_id")


def audit(
    tenant: Annotated[str | None, typer.Option(help="Only what this tenant's keys did.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only done, refused or failed calls.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Only the last hours.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most entries, the newest.")] = 100,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Show who did what and when, oldest first: every call that changed something, and every one that was refused."""
    from app.access.audit import read_events
    from app.core.db import open_session
    from app.core.orm import utc_now

    since: datetime | None = utc_now() - timedelta(hours=hours) if hours is not None else None
    with (
        open_database(settings_with(data_dir=data_dir)) as sessions,
        open_session(sessions, read_only=True) as session,
    ):
        events = read_events(session, tenant=tenant, since=since, outcome=outcome, limit=limit)
        rows = [
            {
                "id": e.id, "at": e.at.isoformat(timespec="seconds"), "tenant": e.tenant, "actor": e.actor,
                "key_id": e.key_id, "address": e.address, "action": e.action, "object": e.object,
                "outcome": e.outcome, "status": e.status, "detail": e.detail, "request_id": e.request_id,
            }
            for e in events
        ]  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        print_table("", _COLUMNS, ([row[column.rstrip("#")] for column in _COLUMNS] for row in rows))
