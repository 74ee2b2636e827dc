"""Datasets, jobs with their events, and the model registry.

Revision: 2026_11_21_initial, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_initial"
down_revision = None
branch_labels = None
depends_on = None

_NAME = sa.String(255)
_JSON = sa.JSON(none_as_null=True)
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_dataset()
    _create_job()
    _create_registry()


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("property_key", _NAME, nullable=False),
        sa.Column("property_record", _JSON, nullable=False),
        sa.Column("input_kind", _NAME, nullable=False),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("content_sha256", _NAME, nullable=False),
        sa.Column("artifact_path", _NAME, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("report", _JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("deleted_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
    )
    op.create_index("ix_dataset_name", "dataset", ["name"])
    op.create_index("ix_dataset_property_key", "dataset", ["property_key"])
    op.create_index(
        "uq_dataset_content",
        "dataset",
        ["content_sha256"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", _NAME, nullable=False),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("error_code", _NAME, nullable=True),
        sa.Column("spec", _JSON, nullable=False),
        sa.Column("result", _JSON, nullable=True),
        sa.Column("idempotency_key", _NAME, nullable=True),
        sa.Column("request_sha256", _NAME, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("fencing_token", _NAME, nullable=True),
        sa.Column("worker_id", _NAME, nullable=True),
        sa.Column("lease_expires_at", _INSTANT, nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("enqueued_at", _INSTANT, nullable=True),
        sa.Column("started_at", _INSTANT, nullable=True),
        sa.Column("finished_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("kind", "idempotency_key", name="uq_job_kind_idempotency_key"),
    )
    op.create_index("ix_job_status_job_lease_expires_at", "job", ["status", "lease_expires_at"])
    op.create_table(
        "job_event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", _NAME, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("level", _NAME, nullable=False),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", _JSON, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_job_event_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_job_event"),
        sa.UniqueConstraint("job_id", "seq", name="uq_job_event_job_id_seq"),
    )


def _create_registry() -> None:
    op.create_table(
        "registered_model",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("property_key", _NAME, nullable=False),
        sa.Column("input_kind", _NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_registered_model"),
    )
    op.create_index("ix_registered_model_property_key", "registered_model", ["property_key"])
    _create_model_version()
    _create_aliases()


def _create_model_version() -> None:
    op.create_table(
        "model_version",
        sa.Column("id", _NAME, nullable=False),
        sa.Column("model_name", _NAME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("architecture", _NAME, nullable=False),
        sa.Column("weights_sha256", _NAME, nullable=False),
        sa.Column("artifact_prefix", _NAME, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("manifest", _JSON, nullable=False),
        sa.Column("source", _NAME, nullable=False),
        sa.Column("parent_id", _NAME, nullable=True),
        sa.Column("dataset_id", _NAME, nullable=True),
        sa.Column("job_id", _NAME, nullable=True),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("deleted_at", _INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["model_name"], ["registered_model.name"], name="fk_model_version_model_name_registered_model"
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["model_version.id"], name="fk_model_version_parent_id_model_version"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_model_version_dataset_id_dataset"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_model_version_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_model_version"),
        sa.UniqueConstraint("model_name", "version", name="uq_model_version_model_name_version"),
        sa.UniqueConstraint("job_id", name="uq_model_version_job_id"),
    )
    for column in ("model_name", "weights_sha256", "parent_id", "dataset_id"):
        op.create_index(f"ix_model_version_{column}", "model_version", [column])


def _create_aliases() -> None:
    op.create_table(
        "model_alias",
        sa.Column("model_name", _NAME, nullable=False),
        sa.Column("alias", _NAME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_name"], ["registered_model.name"], name="fk_model_alias_model_name_registered_model"
        ),
        sa.ForeignKeyConstraint(
            ["model_name", "version"],
            ["model_version.model_name", "model_version.version"],
            name="fk_model_alias_model_name_model_version",
        ),
        sa.PrimaryKeyConstraint("model_name", "alias", name="pk_model_alias"),
    )
    op.create_table(
        "model_alias_change",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model_name", _NAME, nullable=False),
        sa.Column("alias", _NAME, nullable=False),
        sa.Column("kind", _NAME, nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=True),
        sa.Column("to_version", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", _INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_name"], ["registered_model.name"], name="fk_model_alias_change_model_name_registered_model"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_alias_change"),
    )
    op.create_index(
        "ix_model_alias_change_model_name_model_alias_change_alias", "model_alias_change", ["model_name", "alias"]
    )


def downgrade() -> None:
    for table in (
        "model_alias_change",
        "model_alias",
        "model_version",
        "registered_model",
        "job_event",
        "job",
        "dataset",
    ):
        op.drop_table(table)
