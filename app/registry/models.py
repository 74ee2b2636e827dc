"""Tables of the registry: models, immutable versions, movable aliases with their history."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.core.orm import Base, JsonObject, utc_now
from app.core.tenancy import Owned
from app.core.tenants import MAX_TENANT_LENGTH, SHARED
from app.registry.artifact import StoredVersion


class ModelRow(Owned):
    """Of a model of the tenant's own, or of a shared one whose name it has not taken for itself."""

    @classmethod
    def name_column(cls) -> ColumnElement[str]:
        return cls.model_name  # type: ignore[attr-defined, no-any-return]

    @classmethod
    def visible_to(cls, tenant: str) -> ColumnElement[bool]:
        own = RegisteredModel.__table__.alias()
        taken = select(own.c.name).where(own.c.tenant == tenant)
        return or_(cls.tenant == tenant, and_(cls.tenant == SHARED, cls.name_column().not_in(taken)))


class RegisteredModel(ModelRow, Base):
    """A named line of versions that predict one property from one kind of input."""

    __tablename__ = "registered_model"

    tenant: Mapped[str] = mapped_column(String(MAX_TENANT_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    property_key: Mapped[str] = mapped_column(index=True)
    input_kind: Mapped[str]
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    @classmethod
    def name_column(cls) -> ColumnElement[str]:
        return cls.name  # type: ignore[return-value]


class ModelVersion(ModelRow, Base):
    """One immutable checkpoint. `version` counts from 1 within its model."""

    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("tenant", "model_name", "version"),
        ForeignKeyConstraint(["tenant", "model_name"], ["registered_model.tenant", "registered_model.name"]),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model_name: Mapped[str] = mapped_column(index=True)
    version: Mapped[int]
    architecture: Mapped[str]
    weights_sha256: Mapped[str] = mapped_column(index=True)
    artifact_prefix: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    manifest: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    source: Mapped[str]  # "shipped" | "fine_tuning" | "import"
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    def stored(self) -> StoredVersion:
        """What is needed to answer with it."""
        return StoredVersion(
            self.id, self.model_name, self.version, self.weights_sha256, self.manifest, self.artifact_prefix
        )


class ModelAlias(ModelRow, Base):
    """A movable pointer, e.g. `champion`; `revision` is what an ETag compares."""

    __tablename__ = "model_alias"
    __table_args__ = (
        ForeignKeyConstraint(["tenant", "model_name"], ["registered_model.tenant", "registered_model.name"]),
        ForeignKeyConstraint(
            ["tenant", "model_name", "version"],
            ["model_version.tenant", "model_version.model_name", "model_version.version"],
        ),
    )

    tenant: Mapped[str] = mapped_column(String(MAX_TENANT_LENGTH), primary_key=True)
    model_name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class ModelAliasChange(ModelRow, Base):
    """Append-only history of every alias: from where to where it moved, when and why."""

    __tablename__ = "model_alias_change"
    __table_args__ = (
        Index(None, "model_name", "alias"),
        ForeignKeyConstraint(["tenant", "model_name"], ["registered_model.tenant", "registered_model.name"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    model_name: Mapped[str]
    alias: Mapped[str]
    kind: Mapped[str]  # "set" | "rollback" | "delete"
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
