"""Data sets: validated once, stored immutably under their content, listed, loaded, deleted."""

import hashlib
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple
from uuid import uuid4

from sqlalchemy.orm import Session

from app.access.quotas import Quota, TenantQuotas, require_room
from app.core.cursor import decode_cursor, encode_cursor
from app.core.errors import (
    ArtifactCorrupt,
    DatasetInUse,
    DatasetInvalid,
    DatasetNotFound,
    InvalidInput,
    InvalidName,
    InvalidRequest,
)
from app.core.logging import get_logger
from app.core.orm import utc_now
from app.core.settings import Settings
from app.datasets.columns import ID_COLUMN, INPUT_COLUMNS
from app.datasets.inspection import Inspection, inspect_table, with_champions
from app.datasets.models import Dataset
from app.datasets.readers import read_dataset
from app.datasets.report import ValidationReport
from app.datasets.repository import DatasetRepository
from app.datasets.rows import RawRow
from app.datasets.table import DatasetTable, content_sha256, read_table, read_texts, write_table
from app.properties.catalogue import CATALOGUE, PropertySpec, Transform, resolve_property
from app.registry.manifest import InputKind, PropertyRecord
from app.registry.repository import RegistryRepository
from app.registry.service import RegistryService
from app.registry.store import ArtifactStore

MAX_NAME_LENGTH = 200
MAX_UNIT_LENGTH = 30

_PROPERTY_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")

log = get_logger(__name__)


class StoredDataset(NamedTuple):
    """The outcome of an upload. `report` is of this file, also when its usable rows were there before."""

    dataset: Dataset
    created: bool
    report: ValidationReport


class DatasetService:
    """Data sets within one transaction; it flushes, the caller commits."""

    def __init__(self, session: Session, store: ArtifactStore, settings: Settings) -> None:
        self._datasets = DatasetRepository(session)
        self._quotas = TenantQuotas(session)
        self._registry = RegistryService(session, store)
        self._jobs = RegistryRepository(session)
        self._store = store
        self._limits = settings.limits

    def create(
        self,
        file_name: str,
        file: BinaryIO,
        property_key: str,
        name: str = "",
        unit: str | None = None,
        transform: Transform | None = None,
    ) -> StoredDataset:
        """Validate a file and store its usable rows, unless the same rows were stored before.

        Raises DatasetInvalid, with the report in its context where there is one, or QuotaExceeded, and stores nothing.
        The transaction begins after the file was read: a large one keeps no other writer waiting.
        """
        spec = _property(property_key, unit, transform)
        shown_name = _dataset_name(name or PurePosixPath(file_name.replace("\\", "/")).stem)
        inspection = inspect_table(read_dataset(file, spec.key, self._limits), spec)
        inspection = with_champions(inspection, self._champion_elements(inspection.report.input_kind))
        if (reason := inspection.report.refused) is not None:
            raise DatasetInvalid(reason, report=inspection.report.model_dump(mode="json"))
        dataset, created = self._store_rows(inspection, PropertyRecord.of(spec), shown_name)
        return StoredDataset(dataset, created, inspection.report)

    def get(self, dataset_id: str) -> Dataset:
        """The data set; DatasetNotFound also when it was deleted."""
        dataset = self._datasets.get(dataset_id)
        if dataset is None:
            raise DatasetNotFound(f"There is no data set {dataset_id[:100]!r}.")
        if dataset.deleted_at is not None:
            raise DatasetNotFound(f"Data set {dataset_id} was deleted at {dataset.deleted_at:%F %T} UTC.")
        return dataset

    def page(self, cursor: str | None, limit: int, property_key: str | None = None) -> tuple[list[Dataset], str | None]:
        """Data sets, newest first, and the cursor of the next page."""
        found = self._datasets.page(_decode(cursor) if cursor else None, limit + 1, property_key)
        last = found[limit - 1] if len(found) > limit else None
        return found[:limit], encode_cursor(last.created_at.isoformat(), last.id) if last else None

    def load_table(self, dataset: Dataset) -> DatasetTable:
        """Items, targets in the property's unit, and row ids; ArtifactCorrupt when the stored file is damaged."""
        return read_table(self._content(dataset))

    def load_texts(self, dataset: Dataset) -> list[RawRow]:
        """The rows as they were sent, for whoever reads them elsewhere; raises ArtifactCorrupt."""
        return read_texts(self._content(dataset))

    def _content(self, dataset: Dataset) -> bytes:
        return stored_rows(self._store, dataset.artifact_path)

    def delete(self, dataset_id: str) -> None:
        """Mark as deleted. DatasetInUse when a job that has not ended or a model version needs it."""
        self._datasets.lock(dataset_id)
        dataset = self.get(dataset_id)
        if jobs := self._jobs.open_jobs_naming(dataset_id):
            raise DatasetInUse(
                f"Data set {dataset_id} is needed by {', '.join(jobs[:5])}: wait for the job or cancel it."
            )
        if versions := self._datasets.versions_trained_on(dataset_id):
            named = ", ".join(f"{v.model_name}/{v.version}" for v in versions[:5])
            raise DatasetInUse(f"Data set {dataset_id} is what {named} was trained on: delete that version first.")
        dataset.deleted_at = utc_now()
        log.info("data set deleted", dataset=dataset_id)

    def _champion_elements(self, input_kind: InputKind | None) -> dict[tuple[str, int], set[str]]:
        if input_kind is None:
            return {}
        champions = self._registry.champions(input_kind=input_kind)
        elements = {(v.model_name, v.version): set(self._registry.files.manifest(v).elements) for v in champions}
        return {key: known for key, known in elements.items() if known}

    def _require_room(self, size_bytes: int) -> None:
        """Raises QuotaExceeded."""
        number = self._quotas.limit(Quota.DATASETS, self._limits.datasets_per_tenant)
        size = self._quotas.limit(Quota.DATASET_BYTES, self._limits.dataset_bytes_per_tenant)
        if number or size:
            stored = self._datasets.stored()
            require_room(Quota.DATASETS, number, stored.number)
            require_room(Quota.DATASET_BYTES, size, stored.size_bytes, size_bytes)

    def _store_rows(self, inspection: Inspection, record: PropertyRecord, name: str) -> tuple[Dataset, bool]:
        digest = content_sha256(inspection.rows, record)
        if (existing := self._datasets.by_content(digest)) is not None:
            return existing, False
        content = write_table(inspection.rows)
        self._require_room(len(content))
        path = _path_of(content)
        self._store.put_new(path, content)
        assert inspection.report.input_kind is not None
        dataset = Dataset(
            id=f"ds_{uuid4().hex}",
            name=name,
            property_key=record.key,
            property_record=record.model_dump(mode="json"),
            input_kind=inspection.report.input_kind,
            n_rows=len(inspection.rows),
            content_sha256=digest,
            artifact_path=path,
            size_bytes=len(content),
            report=inspection.report.model_dump(mode="json"),
        )
        if not self._datasets.insert(dataset):
            existing = self._datasets.by_content(digest)
            assert existing is not None
            return existing, False
        log.info("data set stored", dataset=dataset.id, n_rows=dataset.n_rows, property=record.key)
        return dataset, True


def _property(key: str, unit: str | None, transform: Transform | None) -> PropertySpec:
    if not _PROPERTY_KEY.fullmatch(key):
        raise InvalidName(
            f"{key[:64]!r} is not a property key: small letters, digits and '_', a letter first, at most 64. "
            f"Known: {', '.join(CATALOGUE)}."
        )
    if key in (*INPUT_COLUMNS, ID_COLUMN):
        raise InvalidName(f"{key!r} is the name of a column with inputs or ids; give the property another key.")
    if unit is not None and not (0 < len(unit.strip()) <= MAX_UNIT_LENGTH and unit.strip().isprintable()):
        raise InvalidInput(
            f"A unit has 1 to {MAX_UNIT_LENGTH} printable characters, such as GPa; write 1 for a plain number."
        )
    spec = resolve_property(key, unit.strip() if unit is not None else None, transform)
    if transform is not None and transform is not spec.transform:
        raise InvalidInput(f"{key} is learned with transform {spec.transform.value!r} here; leave `transform` out.")
    return spec


def _dataset_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise InvalidName(f"A data set's name has 1 to {MAX_NAME_LENGTH} printable characters.")
    return name


def stored_rows(store: ArtifactStore, path: str) -> bytes:
    """The file of a data set, verified; raises ArtifactCorrupt."""
    content = store.get(path)
    if _path_of(content) != path:
        raise ArtifactCorrupt(f"The stored rows {path} of a data set are damaged: their sha256 differs.")
    return content


def _path_of(content: bytes) -> str:
    return f"datasets/{hashlib.sha256(content).hexdigest()}.parquet"


def _decode(cursor: str) -> tuple[datetime, str]:
    created_at, dataset_id = decode_cursor(cursor, str, str)
    try:
        return datetime.fromisoformat(str(created_at)), str(dataset_id)
    except ValueError:
        raise InvalidRequest("cursor is not one this list handed out: send `next` as it came.") from None
