"""Every row has a tenant; names of models and idempotency keys count within it.

What was there belongs to the tenant `default`, shipped models to `shared`.

Revision: 2026_11_21_tenants, after 2026_11_21_bulk_part.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_tenants"
down_revision = "2026_11_21_bulk_part"
branch_labels = None
depends_on = None

_TENANT = sa.String(63)
_LINES = ("model_version", "model_alias", "model_alias_change")


def upgrade() -> None:
    _add_to_datasets_and_jobs()
    _release_models()
    _share_shipped_models()
    _tie_models()


def _column() -> sa.Column[str]:
    return sa.Column("tenant", _TENANT, nullable=False, server_default="default")


def _without_default(table: str) -> None:
    with op.batch_alter_table(table) as batch:
        batch.alter_column("tenant", existing_type=_TENANT, existing_nullable=False, server_default=None)


def _add_to_datasets_and_jobs() -> None:
    op.drop_index("uq_dataset_content", "dataset")
    for table in ("dataset", "job", "job_event", "bulk_part"):
        op.add_column(table, _column())
        _without_default(table)
    op.create_index(
        "uq_dataset_content", "dataset", ["tenant", "content_sha256"], unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"), postgresql_where=sa.text("deleted_at IS NULL"),
    )  # fmt: skip
    with op.batch_alter_table("job") as batch:
        batch.drop_constraint("uq_job_kind_idempotency_key", type_="unique")
        batch.create_unique_constraint("uq_job_tenant_kind_idempotency_key", ["tenant", "kind", "idempotency_key"])


def _release_models() -> None:
    """Add the column, and loosen what refers to models by name alone."""
    with op.batch_alter_table("model_alias_change") as batch:
        batch.drop_constraint("fk_model_alias_change_model_name_registered_model", type_="foreignkey")
        batch.add_column(_column())
    with op.batch_alter_table("model_alias") as batch:
        batch.drop_constraint("fk_model_alias_model_name_registered_model", type_="foreignkey")
        batch.drop_constraint("fk_model_alias_model_name_model_version", type_="foreignkey")
        batch.drop_constraint("pk_model_alias", type_="primary")
        batch.add_column(_column())
        batch.create_primary_key("pk_model_alias", ["tenant", "model_name", "alias"])
    with op.batch_alter_table("model_version") as batch:
        batch.drop_constraint("fk_model_version_model_name_registered_model", type_="foreignkey")
        batch.drop_constraint("uq_model_version_model_name_version", type_="unique")
        batch.add_column(_column())
    with op.batch_alter_table("registered_model") as batch:
        batch.drop_constraint("pk_registered_model", type_="primary")
        batch.add_column(_column())
        batch.create_primary_key("pk_registered_model", ["tenant", "name"])


def _share_shipped_models() -> None:
    """A line of a user's own to which shipped versions were added stays that user's."""
    op.execute(
        "UPDATE registered_model SET tenant = 'shared' WHERE name IN (SELECT model_name FROM model_version WHERE "
        "source = 'shipped') AND name NOT IN (SELECT model_name FROM model_version WHERE source <> 'shipped')"
    )
    for table in _LINES:
        op.execute(
            f"UPDATE {table} SET tenant = 'shared' WHERE model_name IN "  # noqa: S608 - names of our own tables
            "(SELECT name FROM registered_model WHERE tenant = 'shared')"
        )


def _tie_models() -> None:
    for table in ("registered_model", *_LINES):
        _without_default(table)
    with op.batch_alter_table("model_version") as batch:
        batch.create_unique_constraint(
            "uq_model_version_tenant_model_name_version", ["tenant", "model_name", "version"]
        )
    for table in _LINES:
        with op.batch_alter_table(table) as batch:
            batch.create_foreign_key(
                f"fk_{table}_tenant_model_name_registered_model", "registered_model", ["tenant", "model_name"],
                ["tenant", "name"],
            )  # fmt: skip
    with op.batch_alter_table("model_alias") as batch:
        batch.create_foreign_key(
            "fk_model_alias_tenant_model_name_version_model_version", "model_version",
            ["tenant", "model_name", "version"], ["tenant", "model_name", "version"],
        )  # fmt: skip


def downgrade() -> None:
    raise NotImplementedError("tenants may have models of the same name: restore a backup of the earlier version")
