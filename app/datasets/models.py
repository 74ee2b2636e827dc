"""Table of data sets; the rows themselves lie in the artifact store under their content hash."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.orm import Base, JsonObject, utc_now
from app.core.tenancy import Owned


class Dataset(Owned, Base):
    """Labelled inputs of one property, validated, immutable, stored as Parquet by sha256."""

    __tablename__ = "dataset"
    __table_args__ = (
        # The same rows uploaded twice, even at the same moment, are one data set of their tenant.
        Index(
            "uq_dataset_content",
            "tenant",
            "content_sha256",
            unique=True,
            sqlite_where=text("deleted_at IS NULL"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    property_key: Mapped[str] = mapped_column(index=True)
    property_record: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    input_kind: Mapped[str]
    n_rows: Mapped[int]
    content_sha256: Mapped[str]
    artifact_path: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    report: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]
