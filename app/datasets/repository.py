"""Queries of data sets; deleted ones are left out unless said."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.datasets.models import Dataset
from app.registry.models import ModelVersion


class Stored(NamedTuple):
    number: int
    size_bytes: int


class DatasetRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, dataset_id: str) -> Dataset | None:
        """Deleted ones too."""
        return self._session.get(Dataset, dataset_id)

    def lock(self, dataset_id: str) -> Dataset | None:
        return self._session.get(Dataset, dataset_id, populate_existing=True, with_for_update=True)

    def by_content(self, content_sha256: str) -> Dataset | None:
        return self._session.scalar(
            select(Dataset).where(Dataset.content_sha256 == content_sha256, Dataset.deleted_at.is_(None))
        )

    def stored(self) -> Stored:
        """How much there is."""
        query = select(func.count(), func.sum(Dataset.size_bytes)).select_from(Dataset)
        number, size_bytes = self._session.execute(query.where(Dataset.deleted_at.is_(None))).one()
        return Stored(number, int(size_bytes or 0))

    def insert(self, dataset: Dataset) -> bool:
        """Add the row; False when the same content was added by another transaction first."""
        try:
            with self._session.begin_nested():
                self._session.add(dataset)
        except IntegrityError:
            return False
        return True

    def page(self, before: tuple[datetime, str] | None, limit: int, property_key: str | None) -> list[Dataset]:
        """Newest first; `before` is (created_at, id) of the last one of the page before."""
        query = select(Dataset).where(Dataset.deleted_at.is_(None))
        if property_key is not None:
            query = query.where(Dataset.property_key == property_key)
        if before is not None:
            query = query.where(tuple_(Dataset.created_at, Dataset.id) < tuple_(*before))
        return list(self._session.scalars(query.order_by(Dataset.created_at.desc(), Dataset.id.desc()).limit(limit)))

    def versions_trained_on(self, dataset_id: str) -> list[ModelVersion]:
        """Without deleted ones."""
        query = select(ModelVersion).where(ModelVersion.dataset_id == dataset_id, ModelVersion.deleted_at.is_(None))
        return list(self._session.scalars(query.order_by(ModelVersion.model_name, ModelVersion.version)))
