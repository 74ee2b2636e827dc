"""Versions: registering, finding, loading, deleting, on both databases."""

import hashlib
import io
import zipfile

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import open_session
from app.core.errors import (
    ArtifactCorrupt,
    InvalidName,
    ModelMismatch,
    ModelNotFound,
    ModelVersionInUse,
    ModelVersionNotFound,
)
from app.jobs.models import Job
from app.registry.export import export_zip
from app.registry.manifest import InputKind, Parent
from app.registry.models import ModelVersion
from app.registry.service import FINE_TUNING, IMPORT, RegistryService
from app.registry.store import ArtifactStore
from tests.concurrency import run_at_once
from tests.registry.examples import make_manifest, trust_record


def _register(registry: RegistryService, name: str = "cgcnn-band-gap", weights: bytes = b"w") -> ModelVersion:
    return registry.register_version(make_manifest(name, weights), weights, "# card", IMPORT)


def test_versions_count_from_one_and_the_first_is_champion(registry: RegistryService) -> None:
    first, second = _register(registry, weights=b"1"), _register(registry, weights=b"2")
    assert (first.version, second.version) == (1, 2)
    assert registry.resolve("cgcnn-band-gap").id == first.id
    assert registry.resolve("cgcnn-band-gap/2").id == second.id
    assert registry.resolve("cgcnn-band-gap@champion").id == first.id


def test_what_is_loaded_is_what_was_registered(registry: RegistryService) -> None:
    version = _register(registry, weights=b"weights")
    manifest, weights = registry.files.load(version)
    assert weights == b"weights"
    assert manifest == make_manifest("cgcnn-band-gap", b"weights", created_at=manifest.created_at)
    assert registry.files.card(version) == "# card"


def test_the_same_weights_may_be_two_versions(registry: RegistryService) -> None:
    first, second = _register(registry), _register(registry)
    assert first.weights_sha256 == second.weights_sha256
    assert first.version != second.version


def test_weights_that_are_not_the_manifests_are_refused(registry: RegistryService, store: ArtifactStore) -> None:
    with pytest.raises(ArtifactCorrupt, match="model cgcnn-band-gap"):
        registry.register_version(make_manifest(weights=b"these"), b"those", "", IMPORT)
    assert store.list() == []


def test_damaged_weights_are_named_on_load(registry: RegistryService, store: ArtifactStore) -> None:
    version = _register(registry, weights=b"weights")
    path = f"artifacts/{version.weights_sha256}/weights.safetensors"
    store.delete(path)
    with pytest.raises(ArtifactCorrupt, match="missing"):
        registry.files.load(version)
    store.put_new(path, b"weighty")
    with pytest.raises(ArtifactCorrupt, match="cgcnn-band-gap/1 are damaged"):
        registry.files.load(version)


def test_a_name_keeps_its_property_and_input_kind(registry: RegistryService, store: ArtifactStore) -> None:
    _register(registry)
    before = store.list()
    with pytest.raises(ModelMismatch, match="predicts band_gap from a structure"):
        registry.register_version(make_manifest(property_key="k_vrh"), b"weights", "", IMPORT)
    with pytest.raises(ModelMismatch, match="from a composition"):
        registry.register_version(make_manifest(input_kind=InputKind.COMPOSITION), b"weights", "", IMPORT)
    assert store.list() == before


def test_names_that_would_break_references_are_refused(registry: RegistryService) -> None:
    with pytest.raises(InvalidName):
        _register(registry, name="a/b")


def test_unknown_names_and_numbers(registry: RegistryService) -> None:
    with pytest.raises(ModelNotFound, match="None is registered"):
        registry.resolve("cgcnn-band-gap")
    _register(registry)
    with pytest.raises(ModelNotFound, match="Did you mean cgcnn-band-gap"):
        registry.resolve("cgcnn-bandgap")
    with pytest.raises(ModelVersionNotFound, match="no version 2; the newest is 1"):
        registry.resolve("cgcnn-band-gap/2")


def test_a_job_registers_once(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    with open_session(sessions) as session:
        session.add(Job(id="job_1", kind="fine_tuning", status="running", spec={}))
    ids = set()
    for weights in (b"first attempt", b"second attempt"):
        with open_session(sessions) as session:
            version = RegistryService(session, store).register_version(
                make_manifest(weights=weights), weights, "", FINE_TUNING, job_id="job_1"
            )
            ids.add((version.id, version.version))
    assert len(ids) == 1


def test_numbers_are_unique_under_concurrency(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    def register(weights: bytes) -> int:
        with open_session(sessions) as session:
            return _register(RegistryService(session, store), weights=weights).version

    numbers = run_at_once(register, [f"weights {index}".encode() for index in range(8)])
    assert sorted(numbers) == list(range(1, 9))


def test_champions_by_property_and_input_kind(registry: RegistryService) -> None:
    _register(registry, "gap")
    _register(registry, "gap-all")
    registry.register_version(make_manifest("bulk", b"b", property_key="k_vrh"), b"b", "", IMPORT)
    registry.register_version(
        make_manifest("elemnet", b"e", property_key="band_gap", input_kind=InputKind.COMPOSITION), b"e", "", IMPORT
    )
    assert [v.model_name for v in registry.champions()] == ["elemnet", "gap", "gap-all", "bulk"]
    assert [v.model_name for v in registry.champions(["k_vrh"])] == ["bulk"]
    assert [v.model_name for v in registry.champions(["band_gap"], InputKind.STRUCTURE)] == ["gap", "gap-all"]
    assert registry.champions([]) == []


def test_pages_neither_repeat_nor_skip(registry: RegistryService) -> None:
    names = [f"model-{index}" for index in range(5)]
    for name in names:
        _register(registry, name)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        models, cursor = registry.list_models(cursor, 2)
        seen += [model.name for model in models]
        if cursor is None:
            break
    assert seen == names
    for index in range(4):
        _register(registry, "model-0", str(index).encode())
    first, cursor = registry.list_versions("model-0", None, 3)
    rest, end = registry.list_versions("model-0", cursor, 3)
    assert [v.version for v in first + rest] == [5, 4, 3, 2, 1]
    assert end is None


def test_lineage_names_parents_and_children(registry: RegistryService) -> None:
    base = _register(registry, "base", b"base")
    parent = Parent(name="base", version=1, weights_sha256=hashlib.sha256(b"base").hexdigest())
    child = registry.register_version(make_manifest("child", b"c", parent=parent), b"c", "", IMPORT)
    grandchild = registry.register_version(make_manifest("grandchild", b"g"), b"g", "", IMPORT, parent_id=child.id)
    assert [v.id for v in registry.lineage(grandchild)[0]] == [child.id, base.id]
    assert [v.id for v in registry.lineage(base)[1]] == [child.id]


def test_deleted_versions_are_gone_and_their_number_stays_used(registry: RegistryService) -> None:
    _register(registry)
    _register(registry)
    registry.delete_version("cgcnn-band-gap", 2)
    with pytest.raises(ModelVersionNotFound, match="was deleted at"):
        registry.resolve("cgcnn-band-gap/2")
    assert [v.version for v in registry.list_versions("cgcnn-band-gap", None, 10)[0]] == [1]
    assert _register(registry).version == 3


def test_versions_in_use_are_not_deleted(sessions: sessionmaker[Session], store: ArtifactStore) -> None:
    with open_session(sessions) as session:
        registry = RegistryService(session, store)
        base, second, third = (_register(registry, weights=w) for w in (b"1", b"2", b"3"))
        registry.register_version(make_manifest("child", b"c"), b"c", "", IMPORT, parent_id=second.id)
        session.add(Job(id="job_1", kind="fine_tuning", status="queued", spec={"base": {"id": third.id}}))
        session.flush()
        for version, reason in ((base, "champion"), (second, "child/1"), (third, "job_1")):
            with pytest.raises(ModelVersionInUse, match=reason):
                registry.delete_version("cgcnn-band-gap", version.version)
        session.get_one(Job, "job_1").status = "succeeded"
        session.flush()
        registry.delete_version("cgcnn-band-gap", third.version)


def test_intervals_are_kept_with_the_version_and_verified(registry: RegistryService, store: ArtifactStore) -> None:
    manifest = make_manifest(trust=trust_record(b"intervals"))
    with pytest.raises(ArtifactCorrupt, match="intervals of model cgcnn-band-gap"):
        registry.register_version(manifest, b"weights", "", IMPORT, trust=b"others")
    with pytest.raises(ArtifactCorrupt, match="intervals of model cgcnn-band-gap"):
        registry.register_version(manifest, b"weights", "", IMPORT)
    with pytest.raises(ArtifactCorrupt, match="intervals of model cgcnn-band-gap"):
        registry.register_version(make_manifest(), b"weights", "", IMPORT, trust=b"intervals")
    assert store.list() == []
    version = registry.register_version(manifest, b"weights", "# card", IMPORT, trust=b"intervals")
    assert registry.files.artifact(version) == (manifest, b"weights", b"intervals")
    plain = registry.register_version(make_manifest(), b"weights", "# card", IMPORT)
    assert registry.files.artifact(plain).trust is None
    path = f"{version.artifact_prefix}/trust.safetensors"
    store.delete(path)
    store.put_new(path, b"damaged")
    with pytest.raises(ArtifactCorrupt, match="intervals of model cgcnn-band-gap/1 are damaged"):
        registry.files.artifact(version)


def test_an_export_holds_the_intervals(registry: RegistryService) -> None:
    manifest = make_manifest(trust=trust_record(b"intervals"))
    version = registry.register_version(manifest, b"weights", "# card", IMPORT, trust=b"intervals")
    with zipfile.ZipFile(io.BytesIO(export_zip(registry, version))) as archive:
        assert archive.read("cgcnn-band-gap/1/trust.safetensors") == b"intervals"
