"""Clearing away: what is named stays, what is not goes after its time, and nothing is lost beside a service at work."""

import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.core.db import open_session
from app.core.orm import utc_now
from app.core.settings import Settings
from app.datasets.models import Dataset
from app.jobs.models import Job
from app.jobs.service import JobService
from app.jobs.status import JobStatus
from app.maintenance.gc import Cleared, collect_garbage
from app.registry.models import ModelVersion
from app.registry.service import FINE_TUNING, RegistryService
from app.registry.store import ArtifactStore, open_store
from tests.maintenance.conftest import Filled, installation
from tests.registry.examples import make_manifest

NOW = timedelta(0)


def _collect(filled: Filled, grace: timedelta = NOW, **options: Any) -> Cleared:
    return collect_garbage(filled.engine, filled.store, filled.settings, grace, **options)


def _age(filled: Filled, days: float) -> None:
    """Make every object look older."""
    then = time.time() - 86_400 * days
    for path in (filled.settings.data_dir / "store").rglob("*"):
        os.utime(path, (then, then))


@pytest.fixture
def local(tmp_path: Path, sqlite_url: str) -> Any:
    settings = Settings(data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=sqlite_url)
    filled = installation(settings)
    filled.fill()
    yield filled
    filled.engine.dispose()


def test_what_is_named_stays_and_the_rest_goes(filled: Filled) -> None:
    named = filled.store.list()
    orphans = ["artifacts/0/weights.safetensors", "datasets/0.parquet", "bulk/none/parts/1.parquet"]
    for path in (*orphans, "elsewhere/notes.txt"):
        filled.store.put_new(path, b"orphan")
    assert _collect(filled, timedelta(hours=1)).trashed == []
    would = _collect(filled, dry_run=True)
    assert (sorted(would.trashed), would.size_bytes) == (sorted(orphans), 6 * len(orphans))
    assert len(filled.store.list()) == len(named) + 4
    assert sorted(_collect(filled).trashed) == sorted(orphans)
    left = filled.store.list()
    assert [path for path in left if not path.startswith("trash/")] == sorted([*named, "elsewhere/notes.txt"])
    time.sleep(1.1)  # the trash tells seconds
    assert sorted(_collect(filled).deleted) == sorted(orphans)
    assert filled.store.list() == sorted([*named, "elsewhere/notes.txt"])


def test_what_was_deleted_or_has_ended_goes(filled: Filled) -> None:
    with open_session(filled.sessions) as session:
        session.execute(update(Dataset).values(deleted_at=utc_now()))
        session.execute(update(ModelVersion).where(ModelVersion.version == 1).values(deleted_at=utc_now()))
        session.execute(update(Job).values(status=JobStatus.SUCCEEDED))
    gone = sorted(_collect(filled).trashed)
    assert [path.split("/")[0] for path in gone] == ["artifacts"] * 3 + ["bulk", "datasets"]
    assert "bulk/b/input" in gone  # the job's own; its results are named by their rows
    with open_session(filled.sessions) as session:
        registry = RegistryService(session, filled.store)
        assert registry.files.artifact(registry.get_version("cgcnn-band-gap", 2)).weights == b"others"


def test_what_is_named_again_comes_back(local: Filled) -> None:
    local.store.put_new("artifacts/0/weights.safetensors", b"orphan")
    assert _collect(local).trashed == ["artifacts/0/weights.safetensors"]
    with open_session(local.sessions) as session:
        session.execute(update(ModelVersion).where(ModelVersion.version == 1).values(artifact_prefix="artifacts/0/abc"))
    assert _collect(local).rescued == ["artifacts/0/weights.safetensors"]
    assert local.store.get("artifacts/0/weights.safetensors") == b"orphan"


def test_what_is_stored_again_is_new_again(local: Filled) -> None:
    """An upload that finds its object there already may be about to name it."""
    local.store.put_new("datasets/0.parquet", b"orphan")
    _age(local, days=3)
    local.store.put_new("datasets/0.parquet", b"orphan")
    assert _collect(local, timedelta(days=1)).trashed == []
    _age(local, days=3)
    assert _collect(local, timedelta(days=1)).trashed == ["datasets/0.parquet"]
    local.store.put_new("datasets/0.parquet", b"orphan")
    time.sleep(1.1)
    assert local.store.get("datasets/0.parquet") == b"orphan"


class _Slow(ArtifactStore):
    """Registers a version between the look at an object and its removal: the worst moment."""

    def __init__(self, inner: ArtifactStore, at_worst: Any) -> None:
        super().__init__(inner._store)
        self._at_worst = at_worst

    def move(self, path: str, to: str) -> None:
        if path.endswith("weights.safetensors"):
            self._at_worst()
        super().move(path, to)


def test_a_version_registered_at_the_worst_moment_keeps_its_weights(local: Filled) -> None:
    manifest = make_manifest(name="mine", weights=b"late")
    path = f"artifacts/{manifest.weights_sha256}/weights.safetensors"
    local.store.put_new(path, b"late")

    def register() -> None:
        with open_session(local.sessions) as session:
            RegistryService(session, local.store).register_version(manifest, b"late", "card", FINE_TUNING)

    cleared = collect_garbage(local.engine, _Slow(local.store, register), local.settings, NOW)
    assert cleared.rescued == [path]
    with open_session(local.sessions) as session:
        registry = RegistryService(session, local.store)
        assert registry.files.artifact(registry.resolve("mine")).weights == b"late"


def test_rounds_beside_a_service_at_work(filled: Filled) -> None:
    """Versions are registered and rounds without any grace run, as fast as they can; every version stays whole."""
    stop = threading.Event()
    rounds: list[Cleared] = []

    def clear() -> None:
        while not stop.is_set():
            rounds.append(_collect(filled))

    threads = [threading.Thread(target=clear) for _ in range(2)]
    for thread in threads:
        thread.start()
    names: list[str] = []
    while len(names) < 12 or (len(rounds) < 4 and len(names) < 2_000):
        names.append(name := f"model-{len(names)}")
        weights = name.encode()
        with open_session(filled.sessions) as session:
            manifest = make_manifest(name=name, weights=weights)
            RegistryService(session, filled.store).register_version(manifest, weights, "card", FINE_TUNING)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(rounds) >= 4
    _collect(filled)
    with open_session(filled.sessions) as session:
        registry = RegistryService(session, filled.store)
        for name in names:
            assert registry.files.artifact(registry.resolve(name)).weights == name.encode()


def test_folders_and_broken_uploads(local: Filled) -> None:
    with open_session(local.sessions) as session:
        assert JobService(session, local.settings.jobs).claim(local.job_id, "w1")
    jobs = local.settings.data_dir / "jobs"
    for name in (local.job_id, "job_unknown", "job_new"):
        (jobs / name / "token").mkdir(parents=True)
    broken = local.settings.data_dir / "store" / "bulk" / "b" / "input2#1"
    broken.write_bytes(b"half")
    then = time.time() - 3 * 86_400
    for path in (jobs / local.job_id, jobs / "job_unknown", broken):
        os.utime(path, (then, then))
    cleared = _collect(local, timedelta(days=1))
    assert (cleared.job_folders, cleared.broken_uploads) == (["job_unknown"], ["input2#1"])
    assert sorted(path.name for path in jobs.iterdir()) == sorted([local.job_id, "job_new"])
    assert not broken.exists()


def test_an_upload_under_way_is_left_alone(local: Filled) -> None:
    """Neither a file just written nor one that was moved into place since the folder was listed ends the round."""
    folder = local.settings.data_dir / "store" / "bulk" / "b"
    (folder / "input3#1").write_bytes(b"half")
    (folder / "input4#1").symlink_to(folder / "moved into place")
    assert _collect(local).broken_uploads == []
    assert (folder / "input3#1").exists()


def test_on_s3(tmp_path: Path, sqlite_url: str, s3_url: str) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", models_store=tmp_path / "none", database_url=sqlite_url, store_url=s3_url
    )
    filled = installation(settings)
    filled.fill()
    store = open_store(settings)
    named = store.list()
    store.put_new("datasets/0.parquet", b"orphan")
    time.sleep(1.1)  # S3 tells the time of objects in seconds
    assert _collect(filled).trashed == ["datasets/0.parquet"]
    assert [path for path in store.list() if not path.startswith("trash/")] == named
    filled.engine.dispose()
