"""Clearing away what nothing refers to any more: objects of the store, folders of jobs, broken-off uploads.

An object is kept while any row names it or a folder above it, in whatever table. New ones are kept for a grace period,
since an object is written before the row that names it. What goes is moved to the trash first and deleted a grace
period later, and whatever a row names in the trash is moved back: a mistake in timing costs nothing.
"""

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sqlalchemy import JSON, Connection, Engine, String, Table, or_, select

from app.core.errors import ArtifactCorrupt
from app.core.logging import get_logger
from app.core.settings import Settings
from app.jobs.kinds import JobKind
from app.jobs.models import Job
from app.jobs.reaper import jobs_folder
from app.jobs.status import TERMINAL
from app.maintenance.source import TRASH
from app.maintenance.tables import snapshot, tables_of
from app.registry.manifest import WEIGHTS_FILE
from app.registry.store import ArtifactStore

GRACE = timedelta(days=1)
# A file of an upload under way is younger than this, whatever the grace asked for.
_UPLOADING = timedelta(minutes=10)

OWN_FOLDERS = ("artifacts/", "bulk/", "datasets/", "screening/")
"""What the service writes; anything else in the store belongs to somebody else and is left alone."""

_NAMED_ELSEWHERE = (JobKind.FINE_TUNING, JobKind.BULK_PREDICTION)
"""Kinds of jobs that need nothing of what their spec names once they have ended: other rows name what they made."""

_STAMP = "%Y%m%dT%H%M%SZ"
_BROKEN_OFF = re.compile(r".*#[0-9]+")
"""Names that the store gives to files while it writes them."""

log = get_logger(__name__)


@dataclass(slots=True)
class Cleared:
    """What went, or would go: paths of objects to the trash, from the trash for good, back from it; and folders."""

    trashed: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    rescued: list[str] = field(default_factory=list)
    job_folders: list[str] = field(default_factory=list)
    broken_uploads: list[str] = field(default_factory=list)
    size_bytes: int = 0


class References:
    """Every path of the store that any row names."""

    def __init__(self, connection: Connection) -> None:
        self._named = set(_named_paths(connection))
        # The weights lie above the folder of manifest and card, so that versions may share them.
        artifacts = {name.split("/")[1] for name in self._named if name.startswith("artifacts/")}
        self._named |= {f"artifacts/{sha256}/{WEIGHTS_FILE}" for sha256 in artifacts}

    def holds(self, path: str) -> bool:
        """Whether a row names the path or a folder above it."""
        parts = path.split("/")
        return any("/".join(parts[:n]) in self._named for n in range(2, len(parts) + 1))


def collect_garbage(
    engine: Engine, store: ArtifactStore, settings: Settings, grace: timedelta = GRACE, *, dry_run: bool = False
) -> Cleared:
    """One round. Safe beside a service at work and beside other rounds."""
    cleared = Cleared()
    now = datetime.now(UTC)
    # Listed before the rows are read: an object that a row names by then is seen to be named.
    old = [found for found in store.walk() if found.modified_at < now - grace]
    in_trash = store.list(TRASH.rstrip("/"))
    references = _references(engine)
    stamp = now.strftime(_STAMP)
    for found in old:
        if not found.path.startswith(OWN_FOLDERS) or references.holds(found.path):
            continue
        latest = store.details(found.path)
        if latest is None or latest.modified_at != found.modified_at:  # stored again meanwhile
            continue
        if dry_run or _move(store, found.path, f"{TRASH}{stamp}/{found.path}"):
            cleared.trashed.append(found.path)
            cleared.size_bytes += found.size_bytes
    if not dry_run:
        moved = [f"{TRASH}{stamp}/{path}" for path in cleared.trashed]
        in_trash += moved
        references = _references(engine)
    _empty_trash(store, in_trash, references, now - grace, cleared, dry_run=dry_run)
    _clear_folders(engine, settings, grace, cleared, dry_run=dry_run)
    if cleared.trashed or cleared.rescued or cleared.deleted:
        log.info(
            "store cleared", trashed=len(cleared.trashed), deleted=len(cleared.deleted), rescued=len(cleared.rescued)
        )
    return cleared


def _references(engine: Engine) -> References:
    with snapshot(engine) as connection:
        return References(connection)


def _empty_trash(
    store: ArtifactStore, paths: Iterable[str], references: References, before: datetime, cleared: Cleared, *,
    dry_run: bool,
) -> None:  # fmt: skip
    for path in paths:
        stamp, _, original = path.removeprefix(TRASH).partition("/")
        if references.holds(original):
            if dry_run or _restore(store, path, original):
                cleared.rescued.append(original)
        elif stamp < before.strftime(_STAMP):
            if not dry_run:
                store.delete(path)
            cleared.deleted.append(original)


def _move(store: ArtifactStore, path: str, to: str) -> bool:
    try:
        store.move(path, to)
    except ArtifactCorrupt:  # another round was faster
        return False
    return True


def _restore(store: ArtifactStore, path: str, original: str) -> bool:
    if store.exists(original):  # it was stored again
        store.delete(path)
        return False
    return _move(store, path, original)


def _named_paths(connection: Connection) -> Iterator[str]:
    for table in tables_of(connection):
        texts = [column for column in table.columns if isinstance(column.type, String)]
        documents = [column for column in table.columns if isinstance(column.type, JSON)]
        query = select(*texts, *(documents if _has_paths_in_documents(table) else []))
        if "deleted_at" in table.columns:
            query = query.where(table.columns["deleted_at"].is_(None))
        if table.name == Job.__tablename__:
            is_open = table.columns["status"].not_in(TERMINAL)
            query = query.where(or_(is_open, table.columns["kind"].not_in(_NAMED_ELSEWHERE)))
        if not query.selected_columns:
            continue
        for row in connection.execution_options(yield_per=1000).execute(query):
            for value in row:
                yield from _paths_in(value)


def _has_paths_in_documents(table: Table) -> bool:
    """Reports and manifests are large, and hold none."""
    return "report" not in table.columns and "manifest" not in table.columns and table.name != "job_event"


def _paths_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.startswith(OWN_FOLDERS):
            yield value.rstrip("/")
    elif isinstance(value, dict):
        for member in value.values():
            yield from _paths_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from _paths_in(member)


def _clear_folders(engine: Engine, settings: Settings, grace: timedelta, cleared: Cleared, *, dry_run: bool) -> None:
    before = time.time() - grace.total_seconds()
    root = jobs_folder(settings)
    folders = [path for path in root.iterdir() if _is_older(path, before)] if root.is_dir() else []
    with snapshot(engine) as connection:
        job = Job.__table__.c
        still_open = set(connection.scalars(select(job.id).where(job.status.not_in(TERMINAL))))
    for path in folders:
        if path.name not in still_open:
            cleared.job_folders.append(path.name)
            if not dry_run:
                shutil.rmtree(path, ignore_errors=True)
    for path in _broken_uploads(settings, time.time() - max(grace, _UPLOADING).total_seconds()):
        cleared.broken_uploads.append(path.name)
        if not dry_run:
            path.unlink(missing_ok=True)


def _broken_uploads(settings: Settings, before: float) -> Iterator[Path]:
    """Files of a store in a folder whose writing broke off. S3 has a rule of its own for that."""
    url = settings.resolved_store_url
    if url.startswith("s3://"):
        return
    for folder, _, names in os.walk(unquote(urlparse(url).path)):
        for name in names:
            path = Path(folder) / name
            if _BROKEN_OFF.fullmatch(name) and _is_older(path, before):
                yield path


def _is_older(path: Path, before: float) -> bool:
    """False for a path that is gone: an upload under way has moved its file into place since it was listed."""
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
