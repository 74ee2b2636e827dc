"""Backups and moves: what comes out is what went in, on another database and store too, or nothing at all."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from app.access.audit import AuditTrail, Entry, read_events
from app.cli.main import app
from app.core.db import change_revision, open_session, upgrade_to_head
from app.core.settings import Settings
from app.datasets.service import DatasetService
from app.jobs.repository import JobRepository
from app.jobs.service import JobService
from app.maintenance.archive import Backup, Saved, write_backup
from app.maintenance.errors import BackupUnreadable, InUse, MaintenanceError, NotEmpty
from app.maintenance.in_use import refuse_in_use
from app.maintenance.source import installation_source
from app.maintenance.tables import read_tables, snapshot
from app.maintenance.target import fill
from app.registry.service import RegistryService
from app.registry.store import open_store, open_store_at
from tests.maintenance.conftest import Filled, installation


def _save(filled: Filled, path: Path) -> Saved:
    with installation_source(filled.engine, filled.store) as source:
        return write_backup(source, path)


def _rows(filled: Filled) -> dict[str, list[dict[str, Any]]]:
    with snapshot(filled.engine) as connection:
        return {
            table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            for table in read_tables(connection)
        }


def _objects(filled: Filled) -> dict[str, bytes]:
    return {path: filled.store.get(path) for path in filled.store.list()}


@pytest.fixture
def other(request: pytest.FixtureRequest, filled: Filled, tmp_path: Path) -> Iterator[Filled]:
    """An empty installation on the other kind of database, with its store on S3."""
    is_sqlite = filled.engine.dialect.name == "sqlite"
    url = request.getfixturevalue("postgres_url") if is_sqlite else f"sqlite:///{tmp_path / 'other' / 'x.db'}"
    settings = Settings(
        data_dir=tmp_path / "other", models_store=tmp_path / "none", database_url=url,
        store_url=request.getfixturevalue("s3_url"),
    )  # fmt: skip
    found = installation(settings)
    yield found
    found.engine.dispose()


def test_a_backup_comes_back_on_another_database_and_store(filled: Filled, other: Filled, tmp_path: Path) -> None:
    saved = _save(filled, tmp_path / "all.tar")
    assert (tmp_path / "all.tar").stat().st_mode & 0o077 == 0
    restored = fill(Backup(tmp_path / "all.tar"), other.settings.resolved_database_url, other.store)
    assert (restored.n_rows, restored.n_objects) == (saved.n_rows, saved.n_objects)
    assert _rows(other) == _rows(filled)
    assert _objects(other) == _objects(filled)
    assert "artifacts/" in next(iter(_objects(other)))
    with open_session(other.sessions) as session:
        registry = RegistryService(session, other.store)
        version = registry.resolve("cgcnn-band-gap")
        manifest, weights, trust = registry.files.artifact(version)
        assert (version.version, weights, trust, manifest.name) == (2, b"others", b"intervals", "cgcnn-band-gap")
        datasets = DatasetService(session, other.store, other.settings)
        assert len(datasets.load_texts(datasets.get(filled.dataset_id))) == 39
        # Numbers the database gives itself go on where they were.
        JobService(session, other.settings.jobs).request_cancel(filled.job_id)
        events = JobRepository(session).events_after(filled.job_id, 0, 100)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
    _check_audit_log(other)


def _check_audit_log(restored: Filled) -> None:
    """It holds what it held, goes on after that, and is as closed as it was."""
    AuditTrail(restored.sessions).write([Entry(None, "bob", None, "::1", "POST /v1/jobs", "/v1/jobs/1", 201, "r2")])
    with open_session(restored.sessions, read_only=True) as session:
        told = [(event.actor, event.action, event.outcome, event.object) for event in read_events(session)]
    assert told[0][:3] == ("root@here", "keys create", "done")
    assert told[1:] == [
        ("alice", "DELETE /v1/models/x", "refused", "/v1/models/x ✓"), ("bob", "POST /v1/jobs", "done", "/v1/jobs/1")
    ]  # fmt: skip
    for change in ("DELETE FROM audit_event", "UPDATE audit_event SET actor = 'x'"):
        with pytest.raises(DBAPIError, match="append-only"), restored.engine.begin() as connection:
            connection.execute(text(change))


def test_a_backup_is_one_moment(filled: Filled, tmp_path: Path) -> None:
    """What is written while it is made is not in it, nor does it keep writers waiting."""
    with installation_source(filled.engine, filled.store) as source:
        with open_session(filled.sessions) as session:
            JobService(session, filled.settings.jobs).create("fine_tuning", {})
        write_backup(source, tmp_path / "all.tar")
    tables = {table.name: list(table.rows) for table in Backup(tmp_path / "all.tar").tables()}
    assert len(tables["job"]) == 2
    assert len(_rows(filled)["job"]) == 3


def test_nothing_is_overwritten(filled: Filled, tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    _save(filled, path)
    with pytest.raises(MaintenanceError, match="there already"):
        _save(filled, path)
    before = _rows(filled)
    with pytest.raises(NotEmpty, match="holds data already"):
        fill(Backup(path), filled.settings.resolved_database_url, filled.store)
    assert _rows(filled) == before


def test_an_installation_that_only_refused_somebody_is_filled_too(
    filled: Filled, other: Filled, tmp_path: Path
) -> None:
    """Its audit log has one row, which nobody may remove: what is in the way is named, and nothing changes."""
    _save(filled, tmp_path / "all.tar")
    upgrade_to_head(other.settings.resolved_database_url)
    AuditTrail(other.sessions).write([Entry(None, "anybody", None, "::1", "GET /v1/models", "/v1/models", 401, "r")])
    before = _rows(other)
    with pytest.raises(NotEmpty, match=r"holds data already \(in audit_event\)"):
        fill(Backup(tmp_path / "all.tar"), other.settings.resolved_database_url, other.store)
    assert (_rows(other), _objects(other)) == (before, {})


def _changed(path: Path, change: str) -> None:
    content = path.read_bytes()
    if change == "flipped":
        path.write_bytes(content.replace(b"NaCl\n", b"KaCl\n"))
    elif change == "cut":
        path.write_bytes(content[: len(content) * 2 // 3])
    elif change == "text":
        path.write_bytes(b"no backup at all")
    elif change == "empty":
        with tarfile.open(path, "w"):
            pass
    else:
        path.unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("flipped", "objects/bulk/b/input"), ("cut", "incomplete|damaged"), ("text", "no backup"),
        ("empty", "no backup of Xtalforge"), ("absent", "cannot be read"),
    ],
)  # fmt: skip
def test_a_damaged_backup_is_refused_whole(tmp_path: Path, sqlite_url: str, change: str, reason: str) -> None:
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=sqlite_url)
    filled = installation(settings)
    filled.fill()
    _save(filled, tmp_path / "all.tar")
    filled.engine.dispose()
    _changed(tmp_path / "all.tar", change)
    with pytest.raises(BackupUnreadable, match=reason):
        Backup(tmp_path / "all.tar")


@pytest.mark.parametrize(("field", "value", "reason"), [("format", 2, "format 2"), ("revision", "x9", "schema 'x9'")])
def test_a_backup_of_a_later_version_says_so(tmp_path: Path, field: str, value: Any, reason: str) -> None:
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none")
    path = tmp_path / "later.tar"
    head = {"format": 1, "version": "9", "revision": "x9", "created_at": "2030-01-01T00:00:00+00:00"} | {field: value}
    with tarfile.open(path, "w") as tar:
        for name, content in (("backup.json", head), ("checksums.json", {})):
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    if field == "format":
        with pytest.raises(BackupUnreadable, match=reason):
            Backup(path)
        return
    _sign(path)
    with pytest.raises(BackupUnreadable, match=reason):
        fill(Backup(path), settings.resolved_database_url, open_store(settings))


CHANGED_WITH_CARE = {
    "objects/../../outside": "no backup does", "objects/bulk/../../../outside": "no backup does",
    "objects//outside": "no backup does", "outside": "no backup does", "tables/job_event.jsonl.gz": "left empty",
    "tables/made_up.jsonl.gz": "left empty", "objects/bulk/x#1": "left empty",
}  # fmt: skip


def test_a_backup_that_somebody_changed_with_care_does_no_harm(tmp_path: Path, sqlite_url: str) -> None:
    settings = Settings(data_dir=tmp_path / "a" / "data", models_store=tmp_path / "none", database_url=sqlite_url)
    filled = installation(settings)
    filled.fill()
    _save(filled, tmp_path / "all.tar")
    filled.engine.dispose()
    url, store = f"sqlite:///{tmp_path / 'b.db'}", open_store_at((tmp_path / "b").as_uri())
    for name, reason in CHANGED_WITH_CARE.items():
        path = tmp_path / "changed.tar"
        path.write_bytes((tmp_path / "all.tar").read_bytes())
        _sign(path, {name: b"made up"})
        with pytest.raises(MaintenanceError, match=reason):
            fill(Backup(path), url, store)
        assert not list(tmp_path.rglob("outside")), name
    fill(Backup(tmp_path / "all.tar"), url, store)  # nothing of those is in the way


def _sign(path: Path, more: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Put in `more`, and give the checksums of what is in it then."""
    with tarfile.open(path) as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    found = {name: data for name, data in (found | dict(more)).items() if name != "checksums.json"}
    sums = {name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in found.items()}
    with tarfile.open(path, "w") as tar:
        for name, data in {**found, "checksums.json": json.dumps(sums).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_rows_that_fail_leave_nothing(tmp_path: Path, sqlite_url: str, postgres_url: str) -> None:
    """PostgreSQL looks at references with each row: one that points nowhere takes back all."""
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=sqlite_url)
    filled = installation(settings)
    filled.fill()
    with filled.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("UPDATE model_alias SET version = 9")
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("BEGIN")
    _save(filled, tmp_path / "all.tar")
    filled.engine.dispose()
    target = installation(settings.model_copy(update={"database_url": postgres_url}))
    with pytest.raises(MaintenanceError, match="left empty"):
        fill(Backup(tmp_path / "all.tar"), postgres_url, open_store_at((tmp_path / "s").as_uri()))
    assert all(not rows for name, rows in _rows(target).items() if name in ("job", "model_version", "model_alias"))
    target.engine.dispose()


def test_a_backup_of_an_older_schema_is_brought_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    change_revision(url, None, "2026_11_21_initial")
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=url)
    old = installation(settings)
    with old.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO registered_model (name, property_key, input_kind, description, created_at) "
                "VALUES ('mine', 'band_gap', 'structure', '', '2026-11-21 10:00:00.000000')"
            )
        )
    _save(old, tmp_path / "old.tar")
    old.engine.dispose()
    new = installation(settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'new.db'}"}))
    fill(Backup(tmp_path / "old.tar"), new.settings.resolved_database_url, new.store)
    assert "bulk_part" in _rows(new)
    assert [row["name"] for row in _rows(new)["registered_model"]] == ["mine"]
    assert _rows(new)["registered_model"][0]["created_at"] == "2026-11-21T10:00:00+00:00"
    new.engine.dispose()


def test_an_installation_at_work_is_not_moved(filled: Filled) -> None:
    with open_session(filled.sessions) as session:
        assert JobService(session, filled.settings.jobs).claim(filled.job_id, "w1")
    with filled.engine.connect() as connection, pytest.raises(InUse, match="hold 1 jobs"):
        refuse_in_use(filled.settings.data_dir, connection)


def test_the_commands(
    tmp_path: Path, sqlite_url: str, postgres_url: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the embedded default to a cluster, by `backup` + `restore` and by `move`."""
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=sqlite_url)
    filled = installation(settings)
    filled.fill()
    monkeypatch.setenv("XTALFORGE_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("XTALFORGE_DATABASE_URL", sqlite_url)
    run = CliRunner().invoke
    file = str(tmp_path / "all.tar")
    assert run(app, ["backup", file]).exit_code == 0
    assert "is whole" in run(app, ["restore", file, "--check"]).output
    moved = run(app, ["move", "--to-database", postgres_url, "--to-store", s3_url, "--json"])
    assert moved.exit_code == 0, moved.output
    assert json.loads(moved.output)["rows"]["model_version"] == 2
    cluster = installation(settings.model_copy(update={"database_url": postgres_url, "store_url": s3_url}))
    assert (_rows(cluster), _objects(cluster)) == (_rows(filled), _objects(filled))
    cluster.engine.dispose()
    filled.engine.dispose()
    assert "not_empty" in run(app, ["move", "--to-database", postgres_url, "--to-store", s3_url]).output
    monkeypatch.setenv("XTALFORGE_DATABASE_URL", f"sqlite:///{tmp_path / 'again.db'}")
    monkeypatch.setenv("XTALFORGE_STORE_URL", (tmp_path / "again").as_uri())
    restored = run(app, ["restore", file])
    assert restored.exit_code == 0, restored.output
