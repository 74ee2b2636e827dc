"""Queries of the registry."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.tenancy import ALL_TENANTS
from app.jobs.models import Job
from app.jobs.status import TERMINAL
from app.registry.models import ModelAlias, ModelAliasChange, ModelRow, ModelVersion, RegisteredModel


class RegistryRepository:
    def __init__(self, session: Session) -> None:
        self._session = session

    def model(self, name: str) -> RegisteredModel | None:
        return self._session.scalar(select(RegisteredModel).where(RegisteredModel.name == name))

    def lock_model(self, name: str) -> RegisteredModel | None:
        """The row, locked until the transaction ends: versions and aliases of one model change one after another."""
        query = select(RegisteredModel).where(RegisteredModel.name == name).with_for_update()
        return self._session.scalar(query.execution_options(populate_existing=True))

    def insert_model(self, model: RegisteredModel) -> bool:
        """Add the row; False when another transaction did so first."""
        try:
            with self._session.begin_nested():
                self._session.add(model)
        except IntegrityError:
            return False
        return True

    def model_names(self) -> list[str]:
        return list(self._session.scalars(select(RegisteredModel.name).order_by(RegisteredModel.name)))

    def models_after(
        self, name: str, limit: int, property_key: str | None, input_kind: str | None
    ) -> list[RegisteredModel]:
        query = select(RegisteredModel).where(RegisteredModel.name > name)
        if property_key is not None:
            query = query.where(RegisteredModel.property_key == property_key)
        if input_kind is not None:
            query = query.where(RegisteredModel.input_kind == input_kind)
        return list(self._session.scalars(query.order_by(RegisteredModel.name).limit(limit)))

    def version(self, name: str, number: int) -> ModelVersion | None:
        """Deleted ones too."""
        return self._session.scalar(
            select(ModelVersion).where(ModelVersion.model_name == name, ModelVersion.version == number)
        )

    def version_by_id(self, version_id: str) -> ModelVersion | None:
        return self._session.get(ModelVersion, version_id)

    def version_of_job(self, job_id: str) -> ModelVersion | None:
        return self._session.scalar(select(ModelVersion).where(ModelVersion.job_id == job_id))

    def versions_before(self, name: str, number: int, limit: int) -> list[ModelVersion]:
        """Newest first, without deleted ones."""
        query = select(ModelVersion).where(
            ModelVersion.model_name == name, ModelVersion.version < number, ModelVersion.deleted_at.is_(None)
        )
        return list(self._session.scalars(query.order_by(ModelVersion.version.desc()).limit(limit)))

    def versions_by_weights(self, name: str, weights_sha256: str) -> list[ModelVersion]:
        query = select(ModelVersion).where(
            ModelVersion.model_name == name, ModelVersion.weights_sha256 == weights_sha256
        )
        return list(self._session.scalars(query.order_by(ModelVersion.version)))

    def last_version_number(self, name: str, source: str | None = None) -> int:
        """The highest number ever given, 0 when there is none."""
        query = select(func.max(ModelVersion.version)).where(ModelVersion.model_name == name)
        if source is not None:
            query = query.where(ModelVersion.source == source)
        return self._session.scalar(query) or 0

    def live_versions_among(self, name: str, numbers: Collection[int]) -> set[int]:
        query = select(ModelVersion.version).where(
            ModelVersion.model_name == name, ModelVersion.version.in_(numbers), ModelVersion.deleted_at.is_(None)
        )
        return set(self._session.scalars(query))

    def children(self, version_id: str, *, everywhere: bool = False) -> list[ModelVersion]:
        """Versions that started from this one's weights, without deleted ones; `everywhere` = other tenants' too."""
        query = select(ModelVersion).where(ModelVersion.parent_id == version_id, ModelVersion.deleted_at.is_(None))
        query = query.order_by(ModelVersion.model_name, ModelVersion.version)
        return list(self._session.scalars(query.execution_options(**{ALL_TENANTS: everywhere})))

    def versions_with_alias(
        self, alias: str, property_keys: Sequence[str] | None, input_kind: str | None
    ) -> list[ModelVersion]:
        query = (
            select(ModelVersion)
            .join(RegisteredModel, _same_line(RegisteredModel, RegisteredModel.name))
            .join(ModelAlias, _POINTING)
            .where(ModelAlias.alias == alias)
        )
        if property_keys is not None:
            query = query.where(RegisteredModel.property_key.in_(property_keys))
        if input_kind is not None:
            query = query.where(RegisteredModel.input_kind == input_kind)
        return list(self._session.scalars(query.order_by(RegisteredModel.property_key, ModelVersion.model_name)))

    def versions_at(self, alias: str, names: Collection[str]) -> list[ModelVersion]:
        """The version that the alias points at in each of the models that have it."""
        query = select(ModelVersion).join(ModelAlias, _POINTING)
        return list(self._session.scalars(query.where(ModelAlias.alias == alias, ModelAlias.model_name.in_(names))))

    def alias(self, name: str, alias: str) -> ModelAlias | None:
        query = select(ModelAlias).where(ModelAlias.model_name == name, ModelAlias.alias == alias)
        return self._session.scalar(query.execution_options(populate_existing=True))

    def aliases_of(self, names: Collection[str]) -> list[ModelAlias]:
        query = select(ModelAlias).where(ModelAlias.model_name.in_(names))
        return list(self._session.scalars(query.order_by(ModelAlias.model_name, ModelAlias.alias)))

    def alias_changes(self, name: str, alias: str) -> list[ModelAliasChange]:
        """Oldest first."""
        query = select(ModelAliasChange).where(ModelAliasChange.model_name == name, ModelAliasChange.alias == alias)
        return list(self._session.scalars(query.order_by(ModelAliasChange.id)))

    def add(self, row: RegisteredModel | ModelVersion | ModelAlias | ModelAliasChange) -> None:
        self._session.add(row)
        self._session.flush()

    def remove(self, row: ModelAlias) -> None:
        self._session.delete(row)
        self._session.flush()

    def open_jobs_naming(self, object_id: str, *, everywhere: bool = False) -> list[str]:
        """Ids of jobs that have not ended and whose spec names the object by its id."""
        query = select(Job).where(Job.status.not_in(TERMINAL)).order_by(Job.created_at)
        query = query.execution_options(**{ALL_TENANTS: everywhere})
        return [job.id for job in self._session.scalars(query) if _holds(job.spec, object_id)]


def _same_line(cls: type[ModelRow], name: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return (cls.tenant == ModelVersion.tenant) & (name == ModelVersion.model_name)


_POINTING = _same_line(ModelAlias, ModelAlias.model_name) & (ModelAlias.version == ModelVersion.version)


def _holds(value: object, wanted: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(member, wanted) for member in value.values())
    if isinstance(value, list):
        return any(_holds(member, wanted) for member in value)
    return value == wanted
