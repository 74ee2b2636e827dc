"""Storing, finding, loading and deleting data sets, on both databases."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.core.db import create_engine_for, open_session, session_factory
from app.core.errors import (
    ArtifactCorrupt,
    DatasetInUse,
    DatasetInvalid,
    DatasetNotFound,
    InvalidInput,
    InvalidName,
    PropertyNotFound,
)
from app.core.settings import Settings
from app.core.tenancy import of_tenant
from app.core.tenants import OPERATOR_SCOPE
from app.datasets.models import Dataset
from app.datasets.service import DatasetService
from app.jobs.models import Job
from app.properties.catalogue import Transform
from app.registry.service import FINE_TUNING, RegistryService
from app.registry.store import ArtifactStore, open_store
from app.structures.crystal import Crystal
from tests.concurrency import run_at_once
from tests.datasets.tables import as_csv, as_zip, compositions, records, rocksalts
from tests.registry.examples import make_manifest


@pytest.fixture
def store(settings: Settings) -> ArtifactStore:
    return open_store(settings)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    with open_session(sessions) as session:
        yield session


@pytest.fixture
def datasets(session: Session, store: ArtifactStore, settings: Settings) -> DatasetService:
    return DatasetService(session, store, settings)


def _create(datasets: DatasetService, content: bytes | None = None, name: str = "bulk moduli") -> tuple[Dataset, bool]:
    return datasets.create("data.csv", io.BytesIO(content or as_csv(records())), "k_vrh", name)[:2]


def test_what_is_stored_is_what_is_loaded(datasets: DatasetService, store: ArtifactStore) -> None:
    dataset, created = _create(datasets)
    assert created
    assert (dataset.n_rows, dataset.input_kind, dataset.property_record["unit"]) == (30, "structure", "GPa")
    items, targets, row_ids = datasets.load_table(dataset)
    assert row_ids == [row_id for row_id, _, _ in rocksalts()]
    assert np.array_equal(targets, [value for _, _, value in rocksalts()])
    assert isinstance(items[0], Crystal)
    assert items[0].reduced_formula == "FLi"
    assert store.list() == [dataset.artifact_path]


def test_the_same_rows_are_the_same_data_set(datasets: DatasetService, store: ArtifactStore) -> None:
    first, _ = _create(datasets)
    again, created = _create(datasets, name="another name")
    assert (again.id, created) == (first.id, False)
    from_zip, created, _ = datasets.create("data.zip", io.BytesIO(as_zip(rocksalts())), "k_vrh")
    assert (from_zip.id, created) == (first.id, False)
    assert store.list() == [first.artifact_path]


def test_the_report_is_of_the_file_that_was_sent(datasets: DatasetService) -> None:
    first, _ = _create(datasets)
    content = as_csv([*records(), {"id": "bad", "cif": "?", "k_vrh": 10.0}])
    again, created, report = datasets.create("more.csv", io.BytesIO(content), "k_vrh")
    assert (again.id, created) == (first.id, False)
    assert (report.n_rows, report.n_failed, first.report["n_rows"]) == (31, 1, 30)


def test_the_same_numbers_of_another_property_are_another_data_set(datasets: DatasetService) -> None:
    content = as_csv(records("target"))
    ids = {
        datasets.create("a.csv", io.BytesIO(content), key, unit=unit)[0].id
        for key, unit in (("k_vrh", None), ("g_vrh", None), ("hardness", "GPa"), ("hardness", "MPa"))
    }
    assert len(ids) == 4


def test_uploads_at_the_same_moment_are_one_data_set(
    sessions: sessionmaker[Session], store: ArtifactStore, settings: Settings
) -> None:
    def upload(_: int) -> tuple[str, bool]:
        with open_session(sessions) as session:
            dataset, created = _create(DatasetService(session, store, settings))
            return dataset.id, created

    answers = run_at_once(upload, range(4))
    assert len({dataset_id for dataset_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


def test_too_few_usable_rows_store_nothing(datasets: DatasetService, store: ArtifactStore) -> None:
    rows = [*records()[:19], {"id": "bad", "cif": "?", "k_vrh": 10.0}]
    with pytest.raises(DatasetInvalid, match="19 of 20 rows can be used; at least 20") as caught:
        _create(datasets, as_csv(rows))
    assert caught.value.context["report"]["failure_counts"] == {"unparsable_structure": 1}
    assert "line" in caught.value.detail
    assert store.list() == []
    assert datasets.page(None, 10)[0] == []


def test_equal_labels_teach_nothing(datasets: DatasetService) -> None:
    with pytest.raises(DatasetInvalid, match="All labels are 7 GPa"):
        _create(datasets, as_csv([{**row, "k_vrh": 7.0} for row in records()]))


def test_two_units_are_refused_by_name(datasets: DatasetService, store: ArtifactStore) -> None:
    rows = records()
    for row in rows[::3]:
        row["k_vrh"] *= 1e9
    with pytest.raises(
        DatasetInvalid, match=r"33% of them \(such as 1\.4.*e\+11\) look as if in Pa, the others"
    ) as caught:
        _create(datasets, as_csv(rows))
    assert caught.value.context["report"]["refused"] == caught.value.detail
    assert store.list() == []


def test_elements_unseen_by_champions_are_in_the_report(
    datasets: DatasetService, session: Session, store: ArtifactStore
) -> None:
    RegistryService(session, store).register_version(make_manifest(), b"weights", "", FINE_TUNING)
    report = _create(datasets)[0].report
    assert report["unseen_elements"][0]["model"] == "cgcnn-band-gap"
    assert "Li" in report["unseen_elements"][0]["elements"]


def test_properties_names_and_units_are_checked(datasets: DatasetService) -> None:
    content = as_csv(records("target"))

    def create(key: str, **options: object) -> None:
        datasets.create("a.csv", io.BytesIO(content), key, **options)  # type: ignore[arg-type]

    with pytest.raises(PropertyNotFound, match="'hardness'"):
        create("hardness")
    with pytest.raises(InvalidName, match="column with inputs"):
        create("composition", unit="GPa")
    with pytest.raises(InvalidInput, match="printable"):
        create("hardness", unit="G\u202ePa")
    with pytest.raises(InvalidName, match="not a property key"):
        create("Hardness (GPa)", unit="GPa")
    with pytest.raises(InvalidInput, match="is in GPa here, not in MPa"):
        create("k_vrh", unit="MPa")
    with pytest.raises(InvalidInput, match="learned with transform 'log10'"):
        create("k_vrh", transform=Transform.IDENTITY)
    with pytest.raises(InvalidName, match="printable"):
        create("k_vrh", name="a\0b")


def test_damaged_rows_are_noticed(datasets: DatasetService, store: ArtifactStore) -> None:
    dataset, _ = _create(datasets)
    content = bytearray(store.get(dataset.artifact_path))
    content[len(content) // 2] ^= 1
    store.delete(dataset.artifact_path)
    store.put_new(dataset.artifact_path, bytes(content))
    with pytest.raises(ArtifactCorrupt, match=dataset.artifact_path):
        datasets.load_table(dataset)


def test_pages_are_newest_first(datasets: DatasetService) -> None:
    made = [_create(datasets, as_csv(compositions(30 + i)))[0].id for i in range(5)]
    first, cursor = datasets.page(None, 3)
    rest, end = datasets.page(cursor, 3)
    assert [dataset.id for dataset in first + rest] == made[::-1]
    assert end is None
    assert datasets.page(None, 10, property_key="band_gap")[0] == []


def test_deleted_data_sets_are_gone_and_can_come_back(datasets: DatasetService) -> None:
    dataset, _ = _create(datasets)
    datasets.delete(dataset.id)
    with pytest.raises(DatasetNotFound, match="was deleted at"):
        datasets.get(dataset.id)
    with pytest.raises(DatasetNotFound, match="no data set 'ds_nothing'"):
        datasets.delete("ds_nothing")
    assert datasets.page(None, 10)[0] == []
    again, created = _create(datasets)
    assert created
    assert again.id != dataset.id


def test_data_sets_in_use_are_not_deleted(datasets: DatasetService, session: Session, store: ArtifactStore) -> None:
    dataset, _ = _create(datasets)
    job = Job(id="job_1", kind="fine_tuning", status="running", spec={"dataset_id": dataset.id})
    session.add(job)
    session.flush()
    with pytest.raises(DatasetInUse, match="job_1"):
        datasets.delete(dataset.id)
    job.status = "succeeded"
    registry = RegistryService(session, store)
    registry.register_version(make_manifest(), b"weights", "", FINE_TUNING, dataset_id=dataset.id)
    registry.register_version(make_manifest(weights=b"2"), b"2", "", FINE_TUNING)
    with pytest.raises(DatasetInUse, match="cgcnn-band-gap/1"):
        datasets.delete(dataset.id)
    registry.aliases.set("cgcnn-band-gap", "champion", 2)
    registry.delete_version("cgcnn-band-gap", 1)
    datasets.delete(dataset.id)


def test_six_thousand_structures_take_seconds(
    data_kit: Path, sqlite_url: str, settings: Settings, store: ArtifactStore
) -> None:
    table = pq.read_table(data_kit / "target_elastic_mp2020_6k.parquet", columns=["material_id", "cif", "K_VRH_GPa"])
    content = as_csv(table.rename_columns(["id", "cif", "K_VRH_GPa"]).to_pylist())
    engine = create_engine_for(sqlite_url)
    started = time.monotonic()
    with open_session(of_tenant(session_factory(engine), OPERATOR_SCOPE)) as session:
        dataset, *_ = DatasetService(session, store, settings).create("bulk.csv", io.BytesIO(content), "k_vrh")
    elapsed_s = time.monotonic() - started
    engine.dispose()
    assert dataset.n_rows == table.num_rows > 5000
    assert elapsed_s < 30
