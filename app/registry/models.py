"""Tables of the registry: models, immutable versions, movable aliases with their history."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.core.orm import Base, JsonObject, utc_now


class RegisteredModel(Base):
    """A named line of versions that predict one property from one kind of input."""

    __tablename__ = "registered_model"

    name: Mapped[str] = mapped_column(primary_key=True)
    property_key: Mapped[str] = mapped_column(index=True)
    input_kind: Mapped[str]
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class ModelVersion(Base):
    """One immutable checkpoint. `version` counts from 1 within its model."""

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("model_name", "version"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    model_name: Mapped[str] = mapped_column(ForeignKey("registered_model.name"), index=True)
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

    model: Mapped[RegisteredModel] = relationship(lazy="raise")


class ModelAlias(Base):
    """A movable pointer, e.g. `champion`; `revision` is what an ETag compares."""

    __tablename__ = "model_alias"
    __table_args__ = (
        ForeignKeyConstraint(["model_name", "version"], ["model_version.model_name", "model_version.version"]),
    )

    model_name: Mapped[str] = mapped_column(ForeignKey("registered_model.name"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    revision: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class ModelAliasChange(Base):
    """Append-only history of every alias: from where to where it moved, when and why."""

    __tablename__ = "model_alias_change"
    __table_args__ = (Index(None, "model_name", "alias"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    model_name: Mapped[str] = mapped_column(ForeignKey("registered_model.name"))
    alias: Mapped[str]
    kind: Mapped[str]  # "set" | "rollback" | "delete"
    from_version: Mapped[int | None]
    to_version: Mapped[int | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
